#!/usr/bin/env python3
"""The engine of the server beside llama.cpp: the same weights, the same work, in turns.

    python3 -m venv PEER && CMAKE_ARGS=-DGGML_NATIVE=ON PEER/bin/pip install llama-cpp-python
    bazel build //serve/engine:engine_benchmark //tools:export_checkpoint //tools:import_checkpoint
    bazel-bin/tools/export_checkpoint --from MODEL --to model-Q8_0.gguf --dtype q8_0
    bazel-bin/tools/import_checkpoint --from MODEL --to model-q8 --dtype q8
    PEER/bin/python serve/engine/compare_with_llama_cpp.py --gguf model-Q8_0.gguf --model model-q8 --dtype fp32

Tokens per second of a prompt, of one text that goes on, of several together, and of one after --depths tokens. llama.cpp
decodes through its library, without sampling; the engine samples greedily. Each of --rounds runs both programs one after
the other, and the best of each counts; what else the machine does meets both.
"""
import argparse
import ctypes
import json
import os
import random
import subprocess
import sys
import time


def measure_peer(options):
  """Prints {what: tokens per second}."""
  import llama_cpp
  quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
  llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
  llama_cpp.llama_backend_init()
  model = llama_cpp.llama_model_load_from_file(options.gguf.encode(), llama_cpp.llama_model_default_params())
  if not model:
    sys.exit(f'llama.cpp cannot load {options.gguf}')
  words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
  recurrent = llama_cpp.llama_model_is_recurrent(model)
  draw = random.Random(0)

  class Context:
    """So many texts at once; feed() reads or continues all of them by `tokens`."""

    def __init__(self, texts, length):
      parameters = llama_cpp.llama_context_default_params()
      parameters.n_ctx = 512 * texts if recurrent else texts * (length + 255) // 256 * 256
      parameters.n_batch = parameters.n_ubatch = 512
      parameters.n_seq_max = texts
      parameters.n_threads = parameters.n_threads_batch = options.threads
      parameters.no_perf = True
      self.context = llama_cpp.llama_init_from_model(model, parameters)
      self.batch = llama_cpp.llama_batch_init(512, 0, 1)
      self.texts, self.at = texts, 0

    def feed(self, tokens):
      self.batch.n_tokens = self.texts * tokens
      for i in range(self.batch.n_tokens):
        text, token = divmod(i, tokens)
        self.batch.token[i] = draw.randrange(words)
        self.batch.pos[i] = self.at + token
        self.batch.n_seq_id[i] = 1
        self.batch.seq_id[i][0] = text
        self.batch.logits[i] = token == tokens - 1
      started = time.perf_counter()
      if llama_cpp.llama_decode(self.context, self.batch) != 0:
        sys.exit('llama.cpp failed to decode')
      llama_cpp.llama_synchronize(self.context)
      self.at += tokens
      return time.perf_counter() - started

    def read(self, tokens):
      return sum(self.feed(min(512 // self.texts, tokens - i)) for i in range(0, tokens, 512 // self.texts))

    def go_on(self):
      return self.texts * options.tokens / sum(self.feed(1) for _ in range(options.tokens))

    def close(self):
      llama_cpp.llama_batch_free(self.batch)
      llama_cpp.llama_free(self.context)

  def best(texts, before, measure):
    context = Context(texts, before + options.prompt + 4 * options.tokens)
    if before:
      context.read(before)
    result = max(measure(context) for _ in range(3))
    context.close()
    return result

  def read_prompt(context):
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context.context), False)
    context.at = 0
    return options.prompt / context.read(options.prompt)

  found = {f'prompt of {options.prompt}': best(1, 0, read_prompt)}
  for texts in options.together:
    found[f'decode, {texts} together'] = best(texts, 8, Context.go_on)
  for depth in options.depths:
    found[f'decode after {depth}'] = best(1, depth, Context.go_on)
  print(json.dumps(found))


def numbers(values):
  return [str(value) for value in values]


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--gguf', required=True)
  parser.add_argument('--model', help='the same weights, for the engine')
  parser.add_argument('--dtype', default='fp32', help="of the engine's activations")
  parser.add_argument('--benchmark', default='bazel-bin/serve/engine/engine_benchmark')
  parser.add_argument('--threads', type=int, default=2)
  parser.add_argument('--prompt', type=int, default=512)
  parser.add_argument('--tokens', type=int, default=32)
  parser.add_argument('--together', type=int, nargs='*', default=[1, 8])
  parser.add_argument('--depths', type=int, nargs='*', default=[])
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--peer', action='store_true', help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.peer:
    return measure_peer(options)
  if not options.model:
    parser.error('--model is needed')
  for path in (options.gguf, options.model, options.benchmark):
    if not os.path.exists(path):
      parser.error(f'{path} does not exist')

  peer_command = [sys.executable, __file__, '--peer'] + sys.argv[1:]
  our_command = [options.benchmark, options.model, '--dtype', options.dtype, '--threads', str(options.threads), '--prompt',
                 str(options.prompt), '--tokens', str(options.tokens), '--repeats', '3', '--together',
                 *numbers(options.together)]
  if options.depths:
    our_command += ['--depths', *numbers(options.depths)]
  theirs, ours = {}, {}
  for _ in range(options.rounds):
    output = subprocess.run(peer_command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for what, rate in json.loads(output).items():
      theirs[what] = max(theirs.get(what, 0), rate)
    output = subprocess.run(our_command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in map(json.loads, output.splitlines()):
      ours[line['what']] = max(ours.get(line['what'], 0), line['best_tokens_per_second'])
  print(f'{"tokens per second":24}{"llama.cpp":>12}{"radlads":>12}{"ratio":>8}')
  for what, rate in theirs.items():
    print(f'{what:24}{rate:12.1f}{ours[what]:12.1f}{ours[what] / rate:8.2f}')


if __name__ == '__main__':
  main()
