#!/usr/bin/env bash
# import_checkpoint, export_checkpoint and inspect from the outside: what they write, what they say, and that they fail loudly.
set -euo pipefail

import=tools/import_checkpoint
export=tools/export_checkpoint
inspect=tools/inspect
pth=model/checkpoint/testdata/pth
gguf=model/checkpoint/testdata/tiny_llama.gguf
out="$TEST_TMPDIR/out"

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
# expect WHAT TEXT PATTERN
expect() { grep -q -e "$3" <<<"$2" || fail "$1: no \"$3\" in: $2"; }
# refused PATTERN COMMAND...: exits non-zero and says PATTERN on stderr.
refused() {
  local pattern="$1" said
  shift
  if said="$("$@" 2>&1 >/dev/null)"; then fail "succeeded: $*"; fi
  expect "$*" "$said" "$pattern"
}

said="$("$import" --from "$gguf" --to "$out/llama/" 2>/dev/null)"
expect "import" "$said" "llama, "
for file in config.json model.safetensors tokenizer.json tokenizer_config.json special_tokens_map.json generation_config.json; do
  [ -s "$out/llama/$file" ] || fail "import wrote no $file"
done
expect "inspect GGUF" "$("$inspect" "$gguf")" "blk.0.attn_q.weight  *F16  *\[64,64\]"
expect "inspect GGUF" "$("$inspect" "$gguf")" "tokenizer.ggml.pre  *smollm"
expect "inspect directory" "$("$inspect" "$out/llama")" "model.layers.0.self_attn.q_proj.weight  *F16  *\[64,64\]"
expect "inspect directory" "$("$inspect" --summary "$out/llama")" "pre_tokenizer  *Sequence Digits ByteLevel"
expect "inspect JSON" "$("$inspect" --json "$out/llama")" '"tmix": "llama"'
expect "inspect shards" "$("$inspect" model/testdata/tiny_hf/qwen2_sharded/model.safetensors.index.json)" "model.layers.1.mlp"
expect "inspect safetensors" "$("$inspect" model/testdata/tiny_hf/llama/model.safetensors)" "format  *pt"
expect "inspect tokenizer" "$("$inspect" "$out/llama/tokenizer.json")" "vocabulary  *284"
expect "inspect config" "$("$inspect" "$out/llama/config.json")" "n_embd  *64"

"$import" --from "$out/llama" --to "$out/bf16" --dtype bf16 --max_shard_size 100KB >/dev/null 2>&1
expect "shards" "$(ls "$out/bf16")" "model.safetensors.index.json"
expect "dtype" "$("$inspect" --summary "$out/bf16")" "BF16"
expect "dtype" "$(cat "$out/bf16/config.json")" '"torch_dtype": "bfloat16"'

# Quantised: stored in blocks, kept as they are, and plain again.
said="$("$import" --from "$gguf" --to "$out/q4" --dtype q4 2>/dev/null)"
expect "q4" "$said" " q4"
expect "q4" "$("$inspect" "$out/q4")" "model.layers.0.mlp.gate_proj.weight  *Q4  *\[[0-9]*,64\]"
expect "q4 embedding" "$("$inspect" "$out/q4")" "model.embed_tokens.weight  *Q8"
expect "q4 norm" "$("$inspect" "$out/q4")" "model.norm.weight  *F32"
expect "q4 config" "$(cat "$out/q4/config.json")" '"quant_method": "radlads"'
"$import" --from "$out/q4" --to "$out/kept" >/dev/null 2>&1
cmp "$out/q4/model.safetensors" "$out/kept/model.safetensors" || fail "keep changed quantised weights"
"$import" --from "$out/q4" --to "$out/q8" --dtype q8 >/dev/null 2>&1
cmp "$out/q4/model.safetensors" "$out/q8/model.safetensors" || fail "q8 made smaller blocks larger"
"$import" --from "$out/q4" --to "$out/plain" --dtype fp32 >/dev/null 2>&1
expect "plain" "$("$inspect" "$out/plain")" "model.layers.0.mlp.gate_proj.weight  *F32"
if grep -q quantization_config "$out/plain/config.json"; then fail "plain weights are called quantised"; fi

refused "is not empty" "$import" --from "$gguf" --to "$out/llama"
"$import" --from "$gguf" --to "$out/llama" --force >/dev/null 2>&1
mkdir -p "$out/precious" && touch "$out/precious/file"
refused "holds no config.json" "$import" --from "$gguf" --to "$out/precious" --force
[ -e "$out/precious/file" ] || fail "--force deleted what is no model"
head -c 1000 "$gguf" >"$out/cut.gguf"
refused "truncated" "$import" --from "$out/cut.gguf" --to "$out/cut"
[ ! -e "$out/cut" ] || fail "a failed import left a directory"
refused "truncated" "$inspect" "$out/cut.gguf"
printf 'PK\003\004' >"$out/a.whl"
refused "python3 -m zipfile -e" "$import" --from "$out/a.whl" --to "$out/wheel"
refused "cannot open" "$inspect" "$out/absent"
printf 'MMIDIDX\0\0' >"$out/a.idx"
refused "make_binidx" "$inspect" "$out/a.idx"
refused "dtype" "$import" --from "$gguf" --to "$out/x" --dtype int4
"$inspect" --help | grep -q safetensors || fail "inspect --help"
"$import" --help | grep -q max_shard_size || fail "import_checkpoint --help"

# Out and in again: the same tensors.
eval/write_small_models "$out/models" 2>/dev/null
for to in llama.gguf llama3_tied.gguf rad_rwkv6.gguf hybrid.gguf rad_rwkv7.pth hybrid-hf qwen3-hf; do
  model="$out/models/${to%[.-]*}"
  "$export" --from "$model" --to "$out/$to" >/dev/null 2>&1 || fail "export $to"
  "$import" --from "$out/$to" --to "$out/$to.back" --config "$model/config.json" --tokenizer "$model" >/dev/null 2>&1 || fail "import $to"
  expect "$to" "$("$inspect" --diff "$model" "$out/$to.back" 2>/dev/null)" "0 differ"
done
expect "diff of formats" "$("$inspect" --diff "$out/llama.gguf" "$out/models/llama" 2>/dev/null)" "0 differ"
expect "GGUF says why" "$("$inspect" "$out/hybrid.gguf")" "general.description  *Not for llama.cpp"
expect "GGUF architecture" "$("$inspect" "$out/rad_rwkv6.gguf")" "general.architecture  *rwkv6qwen2"
for type in q8_0 q4_0; do
  "$export" --from "$out/models/rad_rwkv6" --to "$out/$type.gguf" --dtype "$type" >/dev/null 2>&1
  expect "$type" "$("$inspect" --diff "$out/models/rad_rwkv6" "$out/$type.gguf" 2>/dev/null || true)" "q_proj.weight  *F32 and ${type^^}, differ by"
  "$import" --from "$out/$type.gguf" --to "$out/$type" >/dev/null 2>&1
  expect "$type kept" "$("$inspect" --diff "$out/$type" "$out/$type.gguf" 2>/dev/null)" "0 differ"
done
for file in config.json modeling_radlads.py mixers_radlads.py configuration_radlads.py README.md generation_config.json tokenizer.json; do
  [ -s "$out/hybrid-hf/$file" ] || fail "export wrote no $file"
done
[ ! -e "$out/qwen3-hf/modeling_radlads.py" ] || fail "a plain model came with code"
expect "model card" "$(cat "$out/hybrid-hf/README.md")" "RAD-RWKV7, 2 layers; softmax attention, 1 layer"

# A split model is read whole, from any of its parts. What its tokenizer says, survives a directory, GGUF and the reverse.
split=model/checkpoint/testdata/split/tiny-0000
"$import" --from "${split}2-of-00003.gguf" --to "$out/split" >/dev/null 2>&1 || fail "import of a part"
expect "parts" "$("$inspect" "${split}3-of-00003.gguf")" "output.weight  *F16"
expect "ends" "$(tr -d ' \n' <"$out/split/generation_config.json")" '"eos_token_id":\[1,2,3\]'
"$export" --from "$out/split" --to "$out/split.gguf" >/dev/null 2>&1 || fail "export of what came in parts"
for key in eot_token_id eom_token_id add_bos_token add_eos_token; do
  expect "$key" "$("$inspect" "$out/split.gguf")" "tokenizer.ggml.$key  *\(2\|3\|true\)"
done
"$import" --from "$out/split.gguf" --to "$out/split-back" >/dev/null 2>&1 || fail "import of what came in parts"
"$export" --from "$out/split" --to "$out/split-hf" >/dev/null 2>&1 || fail "export of what came in parts"
mkdir -p "$out/split/additional_chat_templates"
printf 'D' >"$out/split/chat_template.jinja"
printf 'R' >"$out/split/additional_chat_templates/rag.jinja"
"$import" --from "$out/split" --to "$out/split-q8" --dtype q8 >/dev/null 2>&1 || fail "import of a directory with templates"
for copy in back hf q8; do
  for file in tokenizer.json tokenizer_config.json special_tokens_map.json generation_config.json; do
    cmp "$out/split/$file" "$out/split-$copy/$file" || fail "$file changed in split-$copy"
  done
done
cmp "$out/split/additional_chat_templates/rag.jinja" "$out/split-q8/additional_chat_templates/rag.jinja" || fail "a template was left behind"
# --tokenizer helps whatever the file says, if its ids have rows.
for i in 1 2 3; do sed 's/deepseek-r1-qwen/nobody-knows-it!/' "$split$i-of-00003.gguf" >"$out/odd-0000$i-of-00003.gguf"; done
refused "with --tokenizer DIRECTORY" "$import" --from "$out/odd-00001-of-00003.gguf" --to "$out/odd"
"$import" --from "$out/odd-00001-of-00003.gguf" --to "$out/odd" --tokenizer "$out/split" >/dev/null 2>&1 || fail "--tokenizer did not help"
cmp "$out/split/tokenizer.json" "$out/odd/tokenizer.json" || fail "--tokenizer took other files"
refused "they are not of one model" "$import" --from "$out/llama.gguf" --to "$out/bad" --tokenizer "$out/split"
cp -r "$out/models/llama" "$out/bare" && rm "$out/bare/tokenizer.json" "$out/bare/tokenizer_config.json"
"$export" --from "$out/bare" --to "$out/bare.gguf" >/dev/null 2>&1 || fail "export without a tokenizer"
"$import" --from "$out/bare.gguf" --to "$out/bare-back" >/dev/null 2>&1 || fail "import without a tokenizer"

# What differs is said.
if "$inspect" --diff "$out/models/llama" "$out/models/qwen2" >"$out/diff" 2>/dev/null; then fail "two models are said to be the same"; fi
expect "diff" "$(cat "$out/diff")" "q_proj.bias  *only in .*qwen2"
expect "diff" "$(cat "$out/diff")" "layers.1.mlp.up_proj.weight  *F32 and F32, differ by at most"
expect "inspect pth" "$("$inspect" "$pth/plain.pth")" "embedding  *BF16  *\[6,4\]"

# Bad input: refused, and nothing is left.
refused "missing: model.layers.0.self_attn.q_proj.bias" "$export" --from "$out/models/llama" --to "$out/bad" --config "$out/models/qwen2/config.json"
said="$("$export" --from "$out/models/rad_rwkv6" --to "$out/bad" --config "$out/models/rad_rwkv6_alt/config.json" 2>&1 || true)"
expect "strict" "$said" "tensors do not fit the model"
expect "strict" "$said" "unknown: model.layers.2.self_attn.time_maa_x"
expect "strict" "$said" "missing: model.layers.0.self_attn.g1"
refused "never run" "$import" --from "$pth/evil.pth" --to "$out/bad" --config "$out/models/llama/config.json"
refused "is compressed" "$import" --from "$pth/compressed.pth" --to "$out/bad" --config "$out/models/llama/config.json"
refused "does not say which model it is" "$import" --from "$pth/plain.pth" --to "$out/bad"
mkdir -p "$out/shards"
cp model/testdata/tiny_hf/qwen2_sharded/* "$out/shards" && chmod -R u+w "$out/shards"
sed -i 's#model-00001-of#../../model-00001-of#' "$out/shards/model.safetensors.index.json"
refused "expected the name of a file beside the index" "$import" --from "$out/shards" --to "$out/bad"
refused "is not a size" "$export" --from "$out/models/llama" --to "$out/bad" --max_shard_size 5XB
refused "is one of GGUF" "$export" --from "$out/models/llama" --to "$out/bad" --dtype q4_0
refused "is there already" "$export" --from "$out/models/llama" --to "$out/llama.gguf"
[ ! -e "$out/bad" ] || fail "a refused import or export left something"
"$export" --help | grep -q trust_remote_code || fail "export_checkpoint --help"
