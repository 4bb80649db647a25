#!/usr/bin/env bash
# From a clone to a talking student: sets up, builds, fetches a teacher (SmolLM2-135M-Instruct), tokenises the sample
# text, distils the teacher into RAD-RWKV7 in three stages, scores both on held-out text, lets both answer the same
# prompts, and writes a report. What an earlier run has finished is picked up, so an interrupted run goes on.
#
#   tools/quickstart.sh [options] [-- knobs of //distill:train, such as --train.validation_tokens 8192]
#     --tokens N     train on N tokens in all (40000 or more) instead of the recipe's; the stages keep their shares
#     --out DIR      where everything goes (default: out/ in the repository)
#     --threads N    CPU threads (default: all cores)
#     -h, --help     this text
#
# Needs about 4 GB of memory, 3 GB of disk, and root or sudo where distribution packages are missing.
set -euo pipefail

caller="$PWD"
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$root"

usage() { sed -n '2,12p' tools/quickstart.sh | sed 's/^# \{0,1\}//'; }
die() { printf '\nquickstart: error: %s\n' "$*" >&2; exit 1; }

out="$root/out"
tokens=""
threads=0
while [ $# -gt 0 ]; do
  case "$1" in
    --tokens | --out | --threads) [ $# -ge 2 ] || die "$1 needs a value" ;;
  esac
  case "$1" in
    --tokens) tokens="$2"; shift 2 ;;
    --out) out="$2"; shift 2 ;;
    --threads) threads="$2"; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; die "unknown option $1" ;;
  esac
done
[[ -z "$tokens" || "$tokens" =~ ^[1-9][0-9]*$ ]] || die "--tokens takes a whole number above 0, found '$tokens'"
[[ "$threads" =~ ^[0-9]+$ ]] || die "--threads takes a whole number, found '$threads'"
case "$out" in /*) ;; *) out="$caller/$out" ;; esac
mkdir -p "$out" || die "cannot make the directory $out"

teacher="$out/smollm2-135m-instruct"
data="$out/quickstart-data"
run="$out/quickstart${tokens:+-$tokens}"
recipe=configs/quickstart.yaml

# shown PATH: relative to the caller's directory where it lies below it.
shown() { printf '%s' "${1#"$caller"/}"; }

steps=8
step=0
summary=""
begin() {  # begin TITLE: what the step does
  step=$((step + 1))
  title="$1"
  started=$SECONDS
  printf '\n[%d/%d] %s\n' "$step" "$steps" "$title"
}
end() {  # end RESULT: where the result is
  local took=$((SECONDS - started))
  printf '      done in %s: %s\n' "$(duration $took)" "$1"
  summary+="$(printf '  %-7s  %-44s  %s' "$(duration $took)" "$title" "$1")"$'\n'
}
duration() { if [ "$1" -ge 60 ]; then printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); else printf '%ds' "$1"; fi; }
on_exit() {
  local status=$?
  [ "$status" -eq 0 ] && return
  printf '\nquickstart: stopped in step %d (%s). The same command goes on from here.\n' "$step" "${title:-start}" >&2
}
trap on_exit EXIT

begin "Install what is missing"
tools/setup.sh
end "$(shown "$HOME/.cache/radlads")"

begin "Build the programs"
bazel build //tools:import_checkpoint //data:make_binidx //distill:train //distill:make_report //eval:run //tools:generate ||
  die "the build failed; the first error above says why"
bin="$root/bazel-bin"
end bazel-bin

begin "Fetch the teacher and import it"
if [ ! -f "$teacher/config.json" ]; then
  gguf="$(tools/fetch_teacher.sh)"
  "$bin/tools/import_checkpoint" --from "$gguf" --to "$teacher" --dtype fp32
fi
end "$(shown "$teacher")"

begin "Tokenise the sample text"
mkdir -p "$data"
# Documents end with <|endoftext|> (0), as in the teacher's pretraining; its own end token, <|im_end|>, ends turns of a chat.
tokenise() {  # tokenise NAME FILE
  [ -f "$data/$1.idx" ] || "$bin/data/make_binidx" build --tokenizer "$teacher" --eos 0 --output "$data/$1" "$2"
}
tokenise train samples/corpus.jsonl.xz
tokenise valid samples/held_out.jsonl.xz
end "$(shown "$data")/train and valid (.bin, .idx)"

begin "Distil in three stages"
# The stages of the recipe: "name tokens" on each line.
stages="$(awk '$1 == "-" && $2 == "name:" { name = $3 } $1 == "my_exit_tokens:" && name != "" { print name, $2 }' "$recipe")"
[ -n "$stages" ] || die "$recipe names no stage with my_exit_tokens"
last_stage="$(tail -n 1 <<<"$stages" | cut -d' ' -f1)"
options=(-c configs/teachers/smollm2-135m.yaml -c "$recipe" --train.proj_dir "$out" --train.teacher.path "$teacher"
  --train.data_file "$data/train" --train.validation_data_file "$data/valid" --train.threads "$threads")
if [ -n "$tokens" ]; then
  options+=(--train.proj_suffix "$tokens")
  total="$(awk '{ sum += $2 } END { print sum }' <<<"$stages")"
  while read -r name share; do
    part=$(((tokens * share / total + 511) / 512 * 512))
    options+=("--pipeline.$name.train.my_exit_tokens" "$part")
    printf '      %s: %d tokens\n' "$name" "$part"
  done <<<"$stages"
fi
"$bin/distill/train" "${options[@]}" "$@" || die "training stopped; see above. What is done is kept in $(shown "$run")"
student="$run/$last_stage/final"
[ -f "$student/config.json" ] || die "training ended without a model in $(shown "$student")"
end "$(shown "$student") (Hugging Face layout)"

# fresh FILE: whether FILE is there and newer than the student.
fresh() { [ -f "$1" ] && [ ! "$student/config.json" -nt "$1" ]; }

begin "Score teacher and student on held-out text"
thread_option=()
[ "$threads" -eq 0 ] || thread_option=(--threads "$threads")
if ! fresh "$run/perplexity.json"; then
  "$bin/eval/run" perplexity --teacher "$teacher" --model "$student" --data "$data/valid" --ctx 512 "${thread_option[@]}" \
    --json "$run/perplexity.json.partial" >"$run/perplexity.txt"
  mv "$run/perplexity.json.partial" "$run/perplexity.json"
fi
cat "$run/perplexity.txt"
end "$(shown "$run/perplexity.json")"

begin "Let both answer the same prompts"
prompts=tools/quickstart_prompts.txt
if fresh "$run/samples.json" && [ ! "$prompts" -nt "$run/samples.json" ]; then
  cat "$run/samples.txt"
else
  "$bin/tools/generate" --teacher "$teacher" --model "$student" --prompts "$prompts" --max_tokens 80 "${thread_option[@]}" \
    --json "$run/samples.json.partial" | tee "$run/samples.txt"
  mv "$run/samples.json.partial" "$run/samples.json"
fi
end "$(shown "$run/samples.json")"

begin "Write the report"
"$bin/distill/make_report" "$run" >/dev/null
end "$(shown "$run/report.html")"

printf '\nAll of it, in %s:\n%s' "$(duration $SECONDS)" "$summary"
cat <<TEXT

Look at the report:     $(shown "$run/report.html")
Talk to the student:    bazel-bin/tools/generate --model $(shown "$student") --stats
Serve it, with a page:  bazel run //serve:server -- --model $(shown "$student")
The same, longer:       tools/quickstart.sh --tokens 2000000
TEXT
