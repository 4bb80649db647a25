#!/usr/bin/env python3
"""The tokenizer beside other software: the same ids, and how much faster.

    tools/setup.sh --peers && bazel build //data/tokenizer:tokenizer_benchmark
    python=~/.cache/radlads/peers/bin/python
    $python data/tokenizer/compare_with_peers.py speed --tokenizer DIR --text FILE.jsonl
    $python data/tokenizer/compare_with_peers.py ids --tokenizer DIR --text FILE.jsonl
    $python data/tokenizer/compare_with_peers.py ids --tokenizer DIR --random 100000
    $python data/tokenizer/compare_with_peers.py golden --tokenizer DIR --random 60 > DIR/random.jsonl

DIR has a tokenizer.json, FILE.jsonl a "text" in every line.
speed: MB (1e6 bytes) of UTF-8 per second of CPU time on one thread, taking turns, the best of --rounds. tiktoken and
bpe-qwen get the same vocabulary; bpe-qwen, which knows only Qwen's pattern, takes part where that is the pattern.
ids: compares with tokenizers.Tokenizer.encode and exits with 1 at the first document that differs.
golden: random texts with the ids of the `tokenizers` package; "decoded" where that is not the text.
"""
import argparse
import array
import json
import os
import random
import subprocess
import sys
import tempfile
import time

os.environ['RAYON_NUM_THREADS'] = '1'  # read by tokenizers, when it is first used

BENCHMARK = 'bazel-bin/data/tokenizer/tokenizer_benchmark'
# What a Sequence of Digits (individual) and ByteLevel does, as one regular expression.
DIGITS_THEN_GPT2 = r"'(?:[sdmt]|ll|ve|re)|\s+(?=\p{N})|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CHARACTERS = ('     \n\n\n\r\t\v  abcdeXYZ    0123456789 .,;:!?()[]{}<>"#$%&*+-/=@\\^_`|~' "''''''"
              '\0\x7f\x85\xa0\u2003\u2028\u3000\ufeff\u200d'
              '\xe9\xdf\u017f\u0416\u05d0\u0915\u4e2d\u6587\uac00\u1100\u1161\u11a8\U00020000\u1c89'
              '\xb2\xbd\u2167\u0663\u0967\U0001d7d9\U00011de0'
              '\u0301\u0316\u0327\u093c\u0345\u20dd'
              '\u2014\u2019\u201c\u201d\u20ac\u2603\ufffd\U0001f600\U0001f1e6')
WORDS = [' the', ' of', "n't", "'s", "'RE", "'Ve", "'\u017f", "'ll", '\r\n', ' \n ', '\n\n', 'internationalisation',
         ' 1234567', 'https://', '    ', '...', ' "', '\u201cShe ', ' na\xefve', ' a\u0301', 'Ġ',
         # Added tokens of the test data, and what looks like them.
         '<|im_end|>', '<|im_', '<|eot_id|>', ' <lstrip>', '<rstrip>  ', ' <both> ', '<in', '<inner>', ' one', 'A\u030angstro\u0308m']


def random_texts(count):
  """Words, runs, contractions, characters of every class, some from anywhere; then long runs."""
  source = random.Random(1)
  for _ in range(count):
    text = []
    for _ in range(source.randrange(1, 120)):
      kind = source.randrange(64)
      if kind < 16:
        text.append(source.choice(WORDS))
      elif kind == 16:
        text.append(source.choice(CHARACTERS) * source.randrange(1, 80))
      elif kind == 17:
        text.append(chr(source.choice([source.randrange(0x3000), source.randrange(0xE000, 0x110000)])))
      elif kind == 18:
        text.append(''.join(source.choice('etaoinshrdlu') for _ in range(source.randrange(1, 60))))
      else:
        text.append(source.choice(CHARACTERS))
    yield ''.join(text)
  for unit in ['a', ' ', '\n', '7', '=', '\u0301', 'ab', 'thequickbrownfox']:
    yield unit * (2500 // len(unit))


def documents(args):
  if args.random:
    return list(random_texts(args.random))
  texts, size = [], 0
  with open(args.text, encoding='utf-8') as file:
    for line in file:
      texts.append(json.loads(line)['text'])
      size += len(texts[-1].encode())
      if size >= args.megabytes * 1e6:
        break
  return texts


def our_ids(args, texts):
  with tempfile.TemporaryDirectory() as directory:
    text, ids = os.path.join(directory, 'text.jsonl'), os.path.join(directory, 'ids')
    with open(text, 'w', encoding='utf-8') as file:
      for t in texts:
        file.write(json.dumps({'text': t}) + '\n')
    subprocess.run([args.benchmark, '--tokenizer', args.tokenizer, '--text', text, '--megabytes', '1e6', '--ids', ids],
                   check=True)
    numbers = array.array('i')
    with open(ids, 'rb') as file:
      numbers.frombytes(file.read())
  document = []
  for number in numbers:
    if number >= 0:
      document.append(number)
    else:
      yield document
      document = []


def load_tokenizer(args):
  import tokenizers
  return tokenizers.Tokenizer.from_file(os.path.join(args.tokenizer, 'tokenizer.json'))


def compare_ids(args):
  texts, tokenizer = documents(args), load_tokenizer(args)
  count = 0
  for number, (text, ours) in enumerate(zip(texts, our_ids(args, texts), strict=True)):
    theirs = tokenizer.encode(text, add_special_tokens=False).ids
    count += len(theirs)
    if ours != theirs:
      at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
      sys.exit(f'document {number} differs at token {at}: {ours[at:at + 8]} here, {theirs[at:at + 8]} in the library, '
               f'after {tokenizer.decode(theirs[:at])[-40:]!r}, before {tokenizer.decode(theirs[at:at + 8])!r}')
  size = sum(len(text.encode()) for text in texts)
  print(f'{len(texts)} documents, {size * 1e-6:.1f} MB, {count} ids: all equal')


def make_golden(args):
  tokenizer = load_tokenizer(args)
  for text in documents(args):
    row = {'text': text, 'ids': tokenizer.encode(text, add_special_tokens=False).ids}
    decoded = tokenizer.decode(row['ids'], skip_special_tokens=False)
    if decoded != text:
      row['decoded'] = decoded
    print(json.dumps(row, ensure_ascii=False, separators=(',', ':')))


def tokenizers_peers(args, file, texts):
  tokenizer = load_tokenizer(args)
  # In batches, as a program would that does not hold everything.
  def peer(encode):
    return lambda: sum(len(e.ids) for i in range(0, len(texts), 1000) for e in encode(texts[i:i + 1000],
                                                                                      add_special_tokens=False))
  return {'tokenizers encode_batch': peer(tokenizer.encode_batch),
          'tokenizers encode_batch_fast': peer(tokenizer.encode_batch_fast)}


def pattern_of(file):
  """The regular expression of the pre-tokenizer, or None."""
  steps = file['pre_tokenizer'].get('pretokenizers', [file['pre_tokenizer']])
  if steps[0]['type'] == 'Split':
    return steps[0]['pattern']['Regex']
  if [step['type'] for step in steps] == ['Digits', 'ByteLevel'] and steps[0]['individual_digits']:
    return DIGITS_THEN_GPT2
  return None


def tiktoken_peer(args, file, texts):
  import tiktoken
  printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
  others = [byte for byte in range(256) if byte not in printable]
  byte_of = {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
  added = {token['content'] for token in file['added_tokens']}
  ranks = {bytes(byte_of[c] for c in token): number for token, number in file['model']['vocab'].items()
           if token not in added and all(c in byte_of for c in token)}
  for byte in range(256):  # tiktoken wants a token for every byte
    ranks.setdefault(bytes([byte]), max(ranks.values()) + 1)
  encoding = tiktoken.Encoding('same', pat_str=pattern_of(file), mergeable_ranks=ranks, special_tokens={})
  return {'tiktoken encode_ordinary': lambda: sum(len(encoding.encode_ordinary(text)) for text in texts)}


def bpe_qwen_peer(args, file, texts):
  if r'|\p{N}|' not in pattern_of(file) or file['normalizer'] is None:
    return {}
  from bpe_qwen import bpe_qwen
  with tempfile.TemporaryDirectory() as directory:
    with open(os.path.join(directory, 'vocab.json'), 'w', encoding='utf-8') as out:
      json.dump(file['model']['vocab'], out, ensure_ascii=False)
    with open(os.path.join(directory, 'merges.txt'), 'w', encoding='utf-8') as out:
      out.write('#version: 0.2\n')
      for merge in file['model']['merges']:
        out.write((merge if isinstance(merge, str) else ' '.join(merge)) + '\n')
    tokenizer = bpe_qwen.QwenTokenizer(directory)
  return {'bpe-qwen encode': lambda: sum(len(tokenizer.encode(text)) for text in texts)}


def our_rates(args):
  """MB per second of CPU time and tokens, with a cold and a warm cache."""
  lines = subprocess.run([args.benchmark, '--tokenizer', args.tokenizer, '--text', args.text, '--megabytes',
                          str(args.megabytes), '--threads', '1', '--repetitions', '3'],
                         check=True, capture_output=True, text=True).stdout.splitlines()
  return {'radlads, ' + row['cache'] + ' cache': (row['MB_per_cpu_s'], row['tokens'])
          for row in map(json.loads, lines)}


def compare_speed(args):
  texts = documents(args)
  megabytes = sum(len(text.encode()) for text in texts) * 1e-6
  with open(os.path.join(args.tokenizer, 'tokenizer.json'), encoding='utf-8') as file:
    file = json.load(file)
  peers = {}
  for package, make in (('tokenizers', tokenizers_peers), ('tiktoken', tiktoken_peer), ('bpe-qwen', bpe_qwen_peer)):
    try:
      peers |= make(args, file, texts)
    except ImportError as error:
      print(f'without {package}: {error}', file=sys.stderr)
  best = {}
  for number in range(args.rounds):
    print(f'round {number + 1} of {args.rounds}', file=sys.stderr)
    for name, (rate, tokens) in our_rates(args).items():
      best[name] = max(best.get(name, (0, 0)), (rate, tokens))
    for name, run in peers.items():
      start = time.process_time()
      tokens = run()
      best[name] = max(best.get(name, (0, 0)), (megabytes / (time.process_time() - start), tokens))
  ours = best['radlads, cold cache'][0]
  print(f'{len(texts)} documents, {megabytes:.1f} MB')
  print('| | MB per CPU second | tokens | ours, cold, over it |\n|---|---|---|---|')
  for name, (rate, tokens) in sorted(best.items(), key=lambda item: -item[1][0]):
    print(f'| {name} | {rate:.1f} | {tokens} | {ours / rate:.1f} |')


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('what', choices=['speed', 'ids', 'golden'])
  parser.add_argument('--tokenizer', required=True, help='directory with a tokenizer.json')
  parser.add_argument('--text', help='.jsonl with a "text" in every line')
  parser.add_argument('--random', type=int, help='instead of --text: so many random texts')
  parser.add_argument('--megabytes', type=float, default=20, help='read at most so much text')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--benchmark', default=BENCHMARK, help='the program built by bazel')
  args = parser.parse_args()
  if bool(args.text) == bool(args.random) or (args.what == 'speed' and not args.text):
    parser.error('give --text, or --random where it is not about speed')
  {'speed': compare_speed, 'ids': compare_ids, 'golden': make_golden}[args.what](args)


if __name__ == '__main__':
  main()
