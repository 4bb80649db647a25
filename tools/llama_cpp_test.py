"""llama.cpp computes from export_checkpoint's GGUF files what radlads computes, and they come back as they were.

    llama_cpp_test.py WRITE_SMALL_MODELS EXPORT_CHECKPOINT IMPORT_CHECKPOINT INSPECT      (paths of the programs)
"""
import json
import os
import subprocess
import sys
import xml.sax.saxutils

SCRATCH = os.environ.get('TEST_TMPDIR', '/tmp/llama_cpp_test')
try:
  import xllamacpp
except ImportError:
  reason = 'there is no xllamacpp (llama.cpp); tools/setup.sh --peers installs it'
  print('skipped:', reason)
  if 'XML_OUTPUT_FILE' in os.environ:
    open(os.environ['XML_OUTPUT_FILE'], 'w').write(
        '<testsuites><testsuite name="llama_cpp_test" tests="1" skipped="1"><testcase name="llama.cpp" classname="peers">'
        f'<skipped message={xml.sax.saxutils.quoteattr(reason)}/></testcase></testsuite></testsuites>')
  sys.exit(0)
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

WRITE, EXPORT, IMPORT, INSPECT = sys.argv[1:]
# What stock llama.cpp runs, and what only radlads does.
RUNS = {'llama': 'llama', 'llama3_tied': 'llama', 'qwen2': 'qwen2', 'qwen3': 'qwen3', 'rad_rwkv6': 'rwkv6qwen2'}
OURS = ['rad_rwkv6_alt', 'rad_rwkv7', 'hybrid', 'rwkv7_qwen3_yarn', 'rwkv6_rwkv7_softmax']
# Largest difference of log probabilities above -8, of models of width 64 with random weights. llama.cpp rounds activations
# too, to fp16, bf16 or 8 bits.
TOLERANCE = {'fp32': 1e-4, 'fp16': 2e-2, 'bf16': 0.1, 'q8_0': 0.5, 'q4_0': 2.5}
failures = []


def check(what, ok, found=''):
  if not ok:
    failures.append(f'{what}: {found}')
    print('FAILED:', failures[-1])


def run(program, *arguments):
  done = subprocess.run([program, *arguments], capture_output=True, text=True)
  check(' '.join(arguments), done.returncode == 0, done.stderr)
  return done.stdout


class LlamaCpp:

  def __init__(self, path):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = 256
    parameters.warmup = False
    parameters.n_parallel = 1
    parameters.fit_params = False
    parameters.port = 0
    parameters.verbosity = -1
    # Keys and values would be rounded to fp16.
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.cpuparams.n_threads = 1
    self.server = xllamacpp.Server(parameters)

  def complete(self, ids, tokens, probabilities=1):
    """-> [{'id', 'top_logprobs': [{'id', 'logprob'}, ...]}, ...] of the greedy tokens."""
    answer = self.server.handle_completions({'prompt': ids, 'max_tokens': tokens, 'temperature': 0, 'logprobs': probabilities,
                                             'n_probs': probabilities, 'cache_prompt': False})
    check('completion', 'choices' in answer, answer)
    return answer['choices'][0]['logprobs']['content']

  def log_probabilities(self, ids, vocabulary):
    values = torch.full((vocabulary,), float('-inf'))
    for entry in self.complete(ids, 1, vocabulary)[0]['top_logprobs']:
      values[entry['id']] = entry['logprob']
    return values


def check_runs(name, architecture, dtype):
  source, path = f'{SCRATCH}/models/{name}', f'{SCRATCH}/{name}-{dtype}.gguf'
  said = run(EXPORT, '--from', source, '--to', path, '--dtype', dtype)
  check(f'{name}: architecture', f'architecture {architecture}, for llama.cpp' in said, said)
  golden = safetensors.torch.load_file(f'{source}/golden.safetensors')
  ids, logits = golden['input_ids'][0].tolist(), golden['logits'][0]
  model, vocabulary, worst = LlamaCpp(path), logits.shape[-1], 0
  for length in (1, 2, 20, 70):
    got = model.log_probabilities(ids[:length], vocabulary)
    want = logits[length - 1].log_softmax(-1)
    worst = max(worst, (got - want).abs()[want > -8].max().item())
  check(f'{name} {dtype}: log probabilities', worst <= TOLERANCE[dtype], f'{worst:.2e} apart, allowed {TOLERANCE[dtype]}')
  print(f'{name} {dtype}: log probabilities at most {worst:.1e} apart')
  if dtype == 'fp32':
    want = golden['greedy'][0].tolist()
    got = [token['id'] for token in model.complete(golden['prompt'][0].tolist(), len(want))]
    stop = next((i for i, token in enumerate(want) if token == 0), len(want))  # the end of text ends llama.cpp's answer
    check(f'{name}: greedy', got[:stop] == want[:stop], f'{got}, radlads has {want}')


def check_round_trip(name, is_ours):
  source, path, back = f'{SCRATCH}/models/{name}', f'{SCRATCH}/{name}-fp32.gguf', f'{SCRATCH}/{name}-back'
  said = run(EXPORT, '--from', source, '--to', path, '--dtype', 'fp32', '--force')
  check(f'{name}: says why', ('for radlads only' in said) == is_ours, said)
  run(IMPORT, '--from', path, '--to', back)
  done = json.loads(run(INSPECT, '--diff', source, back, '--json'))
  check(f'{name}: round trip', done['different'] == [], done)
  again = f'{SCRATCH}/{name}-again.gguf'
  run(EXPORT, '--from', back, '--to', again, '--dtype', 'fp32', '--name', f'{name}-fp32')
  same = open(path, 'rb').read() == open(again, 'rb').read()
  check(f'{name}: GGUF, Hugging Face, GGUF', same, 'the files differ')


def check_quantized():
  """Blocks come back as they were written."""
  source, path = f'{SCRATCH}/models/rad_rwkv6', f'{SCRATCH}/rad_rwkv6-q8_0.gguf'
  run(IMPORT, '--from', path, '--to', f'{SCRATCH}/blocks')
  run(EXPORT, '--from', f'{SCRATCH}/blocks', '--to', f'{SCRATCH}/blocks.gguf', '--name', 'rad_rwkv6-q8_0')
  same = open(path, 'rb').read() == open(f'{SCRATCH}/blocks.gguf', 'rb').read()
  check('q8_0: GGUF, Hugging Face, GGUF', same, 'the files differ')
  back = run(EXPORT, '--from', source, '--to', f'{SCRATCH}/x.pth')
  check('pth', 'tensors' in back, back)
  state = torch.load(f'{SCRATCH}/x.pth', map_location='cpu', weights_only=True)
  want = safetensors.torch.load_file(f'{source}/model.safetensors')
  check('pth: tensors', state.keys() == want.keys() and all(torch.equal(state[key], want[key]) for key in want), state.keys())


def main():
  torch.set_num_threads(1)
  run(WRITE, f'{SCRATCH}/models')
  for name, architecture in RUNS.items():
    for dtype in TOLERANCE if name == 'rad_rwkv6' else ('fp32', 'q8_0'):
      check_runs(name, architecture, dtype)
    check_round_trip(name, is_ours=False)
  for name in OURS:
    check_round_trip(name, is_ours=True)
  check_quantized()
  print(f'llama.cpp {xllamacpp.BUILD_INFO}, {len(failures)} failures')
  sys.stdout.flush()
  os._exit(1 if failures else 0)  # a server's threads may not end


main()
