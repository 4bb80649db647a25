#!/usr/bin/env python3
"""The GGUF files of a model in llama.cpp and in radlads: the same perplexity, the same greedy text.

    tools/setup.sh --peers && bazel build //tools:export_checkpoint //tools:import_checkpoint //tools:generate //eval:run
    ~/.cache/radlads/peers/bin/python tools/compare_with_llama_cpp.py --from MODEL --data PREFIX

MODEL is one that llama.cpp can run (docs/formats/gguf.md), PREFIX a token dataset (docs/formats/binidx.md), of which the
first --tokens are scored in windows of --ctx. Both programs read the same file of each dtype, and radlads computes in
that dtype. Exits with 1 when perplexities are more than 0.5% apart, or when greedy texts part where llama.cpp's two
likeliest tokens are further apart than its noise: 0.001 nats in fp32; in bf16 twice what rounding changes of that
distance anywhere in these texts, since both programs round.
"""
import argparse
import ctypes
import json
import math
import os
import subprocess
import sys
import tempfile
import typing

import torch
import xllamacpp

PERPLEXITY = 0.005
FP32_NOISE = 1e-3
PROMPTS = ['The sea is', 'Once upon a time, there was', 'Water boils at', 'The capital of France is', 'def fibonacci(n):',
           'The three most important things in life are']
TOKEN_TYPES = {4: torch.int32, 8: torch.uint16}  # of PREFIX.idx


class Parameters(ctypes.Structure):
  """llama_model_params or llama_context_params, or more bytes than these take. The latter begin with n_ctx."""
  _fields_ = [('words', ctypes.c_uint32 * 256)]


class Batch(ctypes.Structure):
  _fields_ = [('size', ctypes.c_int32), ('token', ctypes.POINTER(ctypes.c_int32)), ('embd', ctypes.c_void_p),
              ('pos', ctypes.POINTER(ctypes.c_int32)), ('n_seq_id', ctypes.POINTER(ctypes.c_int32)),
              ('seq_id', ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ('logits', ctypes.POINTER(ctypes.c_int8))]


def c_api():
  """The functions of llama.h, which xllamacpp's module exports beside its own."""
  api = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
  pointer, integer = ctypes.c_void_p, ctypes.c_int32
  for name, result, arguments in (
      ('llama_model_default_params', Parameters, []), ('llama_context_default_params', Parameters, []),
      ('llama_model_load_from_file', pointer, [ctypes.c_char_p, Parameters]), ('llama_model_free', None, [pointer]),
      ('llama_init_from_model', pointer, [pointer, Parameters]), ('llama_free', None, [pointer]),
      ('llama_n_ctx', ctypes.c_uint32, [pointer]), ('llama_set_n_threads', None, [pointer, integer, integer]),
      ('llama_get_memory', pointer, [pointer]), ('llama_memory_clear', None, [pointer, ctypes.c_bool]),
      ('llama_batch_init', Batch, [integer, integer, integer]), ('llama_batch_free', None, [Batch]),
      ('llama_decode', integer, [pointer, Batch]), ('llama_get_logits_ith', ctypes.POINTER(ctypes.c_float), [pointer, integer]),
      ('llama_model_get_vocab', pointer, [pointer]), ('llama_vocab_n_tokens', integer, [pointer]),
      ('llama_vocab_is_eog', ctypes.c_bool, [pointer, integer]),
      ('llama_tokenize', integer, [pointer, ctypes.c_char_p, integer, pointer, integer, ctypes.c_bool, ctypes.c_bool]),
      ('llama_token_to_piece', integer, [pointer, integer, pointer, integer, integer, ctypes.c_bool])):
    function = getattr(api, name)
    function.restype, function.argtypes = result, arguments
  api.silence = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, pointer)(lambda *_: None)
  api.llama_log_set(api.silence, None)
  return api


class Token(typing.NamedTuple):
  text: bytes
  two: list   # ids of the likeliest and the next
  gap: float  # nats between them


class LlamaCpp:
  """A model that reads up to `ctx` tokens, a sequence after another."""

  def __init__(self, path, ctx, threads):
    self.api = c_api()
    self.model = self.api.llama_model_load_from_file(path.encode(), self.api.llama_model_default_params())
    if not self.model:
      sys.exit(f'llama.cpp cannot load {path}')
    parameters = self.api.llama_context_default_params()
    parameters.words[0] = ctx
    self.context = self.api.llama_init_from_model(self.model, parameters)
    if not self.context or self.api.llama_n_ctx(self.context) < ctx:
      sys.exit(f'llama.cpp has no context of {ctx} tokens for {path}')
    self.api.llama_set_n_threads(self.context, threads, threads)
    self.vocab = self.api.llama_model_get_vocab(self.model)
    self.vocabulary = self.api.llama_vocab_n_tokens(self.vocab)
    self.position = 0

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.api.llama_free(self.context)
    self.api.llama_model_free(self.model)

  def restart(self):
    self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
    self.position = 0

  def read(self, ids):
    """-> log probabilities [len(ids), vocabulary] of what follows each of `ids`."""
    batch = self.api.llama_batch_init(len(ids), 0, 1)
    batch.size = len(ids)
    for i, token in enumerate(ids):
      batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, self.position + i, 1, 1
      batch.seq_id[i][0] = 0
    if self.api.llama_decode(self.context, batch) != 0:
      sys.exit(f'llama.cpp cannot read {len(ids)} tokens after {self.position}')
    self.api.llama_batch_free(batch)
    self.position += len(ids)
    row = ctypes.POINTER(ctypes.c_float * self.vocabulary)
    rows = [ctypes.cast(self.api.llama_get_logits_ith(self.context, i), row).contents for i in range(len(ids))]
    return torch.stack([torch.frombuffer(row, dtype=torch.float32) for row in rows]).log_softmax(-1)

  def tokenize(self, text):
    data, ids = text.encode(), (ctypes.c_int32 * (len(text.encode()) + 8))()
    count = self.api.llama_tokenize(self.vocab, data, len(data), ids, len(ids), True, True)
    return list(ids[:count])

  def piece(self, token):
    text = ctypes.create_string_buffer(256)
    size = self.api.llama_token_to_piece(self.vocab, token, text, len(text), 0, True)
    return text.raw[:size]

  def greedy(self, prompt, tokens):
    """-> [Token]; the end of the text has no bytes."""
    self.restart()
    answer, ids, ended = [], self.tokenize(prompt), False
    while len(answer) < tokens and not ended:
      best = self.read(ids)[-1].topk(2)
      ids = [best.indices[0].item()]
      ended = self.api.llama_vocab_is_eog(self.vocab, ids[0])
      answer.append(Token(b'' if ended else self.piece(ids[0]), best.indices.tolist(), (best.values[0] - best.values[1]).item()))
    return answer

  def change(self, prompt, answer):
    """-> the most by which the distance of two likeliest tokens differs from another model's, whose answer it is."""
    self.restart()
    ids = self.tokenize(prompt)
    values = self.read(ids + [token.two[0] for token in answer[:-1]])[len(ids) - 1:]
    return max(abs((row[token.two[0]] - row[token.two[1]]).item() - token.gap) for row, token in zip(values, answer))


def run(program, *arguments):
  done = subprocess.run([os.path.join('bazel-bin', program), *map(str, arguments)], stdout=subprocess.PIPE, text=True)
  if done.returncode != 0:
    sys.exit(f'{program} {" ".join(map(str, arguments))} failed')
  return done.stdout


def windows_of(prefix, ctx, tokens):
  """As eval/perplexity.h cuts them: [N, ctx + 1]."""
  dtype = TOKEN_TYPES[open(prefix + '.idx', 'rb').read(18)[17]]
  count = math.ceil(tokens / ctx)
  ids = torch.from_file(prefix + '.bin', size=os.path.getsize(prefix + '.bin') // dtype.itemsize, dtype=dtype)
  return ids[:count * (ctx + 1)].int().view(-1, ctx + 1)


def score(model, windows):
  """-> nats a token."""
  total = 0
  for window in windows:
    model.restart()
    total -= model.read(window[:-1].tolist()).gather(1, window[1:, None].long()).double().sum().item()
  return total / windows[:, 1:].numel()


def compare_texts(theirs, ours):
  """-> (what to say, the distance of the two likeliest tokens where the texts part)"""
  text = b''
  for i, token in enumerate(theirs):
    text += token.text
    known = text.decode(errors='ignore')
    if not ours.startswith(known) or (i + 1 == len(theirs) and len(ours.rstrip('\ufffd')) > len(known)):
      return f'parts after {i} tokens, where the two likeliest are {token.gap:.2g} nats apart', token.gap
  return f'equal, {len(theirs)} tokens', 0


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--from', dest='source', required=True)
  parser.add_argument('--data', required=True)
  parser.add_argument('--tokens', type=int, default=8192)
  parser.add_argument('--ctx', type=int, default=512)
  parser.add_argument('--max_tokens', type=int, default=64, help='of a greedy text')
  parser.add_argument('--threads', type=int, default=1)
  flags = parser.parse_args()
  torch.set_num_threads(flags.threads)
  windows = windows_of(flags.data, flags.ctx, flags.tokens)
  with tempfile.TemporaryDirectory() as scratch:
    open(f'{scratch}/prompts', 'w').write('\n'.join(PROMPTS))
    well = all([compare(flags, scratch, dtype, windows) for dtype in ('fp32', 'bf16')])
  sys.exit(0 if well else 1)


def compare(flags, scratch, dtype, windows):
  """-> whether all is well. The file of fp32 stays in `scratch` for that of bf16."""
  path, directory, answers = f'{scratch}/{dtype}.gguf', f'{scratch}/{dtype}', f'{scratch}/answers.json'
  threads = ('--dtype', dtype, '--threads', flags.threads)
  run('tools/export_checkpoint', '--from', flags.source, '--to', path, '--dtype', dtype)
  run('tools/import_checkpoint', '--from', path, '--to', directory)
  report = run('eval/run', 'perplexity', '--model', path, '--data', flags.data, '--ctx', flags.ctx, '--tokens', flags.tokens,
               *threads, '--json', '-')
  run('tools/generate', '--model', directory, '--prompts', f'{scratch}/prompts', '--raw', '--temperature', 0, '--max_tokens',
      flags.max_tokens, *threads, '--json', answers)
  with LlamaCpp(path, flags.ctx, flags.threads) as model:
    theirs, ours = math.exp(score(model, windows)), json.loads(report)['models'][0]['perplexity']
    texts = [model.greedy(prompt, flags.max_tokens) for prompt in PROMPTS]
  noise = FP32_NOISE
  if dtype != 'fp32':
    with LlamaCpp(f'{scratch}/fp32.gguf', flags.ctx, flags.threads) as model:
      noise = 2 * max(model.change(prompt, text) for prompt, text in zip(PROMPTS, texts))
  well = abs(ours / theirs - 1) <= PERPLEXITY
  print(f'{dtype}: perplexity {theirs:.4f} in llama.cpp, {ours:.4f} in radlads ({ours / theirs - 1:+.3%}) on {windows[:, 1:].numel()} '
        f'tokens{"" if well else ": too far apart"}; noise {noise:.2g} nats; greedy texts:')
  for prompt, text, answer in zip(PROMPTS, texts, json.load(open(answers))):
    said, gap = compare_texts(text, answer['student'])
    well &= gap <= noise
    print(f'  "{prompt}": {said}{"" if gap <= noise else ": more than noise"}', flush=True)
  return well


main()
