#!/usr/bin/env bash
# import_checkpoint and inspect from the outside: what they write, what they say, and that they fail loudly.
set -euo pipefail

import=tools/import_checkpoint
inspect=tools/inspect
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
