#!/usr/bin/env python3
"""//serve:server beside llama_cpp.server: the same weights, the same requests, one after the other.

    python3 -m venv PEER && CMAKE_ARGS=-DGGML_NATIVE=ON PEER/bin/pip install 'llama-cpp-python[server]'
    bazel build //serve:server
    PEER/bin/python serve/load/compare_with_llama_cpp_server.py --gguf model-Q8_0.gguf --model model-q8 --dtype fp32

Time to the first token of prompts of --words words, drawn anew each time, and the time between tokens, streamed; then
requests per second of --concurrency clients, whole replies of --tokens tokens. The end of the text is forbidden
(logit_bias), so that every reply has as many tokens; a server that sends fewer is an error.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time

WORDS = ('time year people way day man thing woman life child world school state family student group country problem hand '
         'part place case week company system program question work government number night point home water room').split()


class Client:

  def __init__(self, port, options):
    self.port, self.options = port, options
    self.forbidden = {str(token): -100 for token in options.end_tokens}

  def post(self, prompt_words, draw, stream):
    connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=600)
    body = {'model': 'm', 'prompt': ' '.join(draw.choices(WORDS, k=prompt_words)), 'max_tokens': self.options.tokens,
            'temperature': 0, 'logit_bias': self.forbidden, 'stream': stream}
    connection.request('POST', '/v1/completions', json.dumps(body), {'Content-Type': 'application/json'})
    response = connection.getresponse()
    if response.status != 200:
      sys.exit(f'status {response.status}: {response.read().decode()}')
    return response

  def first_and_gaps(self, words, draw):
    """Seconds to the first event with text, and between those that follow."""
    started = time.perf_counter()
    response = self.post(words, draw, stream=True)
    times = []
    for line in response:
      if line.startswith(b'data: {') and json.loads(line[6:])['choices'][0]['text']:
        times.append(time.perf_counter())
    return times[0] - started, [b - a for a, b in zip(times, times[1:])]

  def whole(self, seed):
    reply = json.loads(self.post(16, random.Random(seed), stream=False).read())
    if reply['usage']['completion_tokens'] != self.options.tokens:
      sys.exit(f'{reply["usage"]} tokens, expected {self.options.tokens}: give the ids that end a text as --end_tokens')

  def measure(self):
    draw = random.Random(0)
    self.whole(-1)
    found = {}
    gaps = []
    for words in self.options.words:
      samples = [self.first_and_gaps(words, draw) for _ in range(8)]
      found[f'first token of {words} words, ms'] = 1e3 * statistics.median(first for first, _ in samples)
      gaps += [gap for _, of_one in samples for gap in of_one]
    found['between tokens, ms'] = 1e3 * statistics.median(gaps)
    for clients in self.options.concurrency:
      with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        list(pool.map(self.whole, range(3 * clients)))
        found[f'requests/s, {clients} at once'] = 3 * clients / (time.perf_counter() - started)
    return found


def run(command, port, options):
  """Starts the server, measures it, and ends it."""
  with tempfile.TemporaryFile() as log:
    server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
      for _ in range(1200):
        if server.poll() is not None:
          log.seek(0)
          sys.exit(f'{command[0]} ended with {server.returncode}:\n{log.read().decode()[-2000:]}')
        try:
          connection = http.client.HTTPConnection('127.0.0.1', port, timeout=5)
          connection.request('GET', '/v1/models')
          if connection.getresponse().status == 200:
            break
        except OSError:
          pass
        time.sleep(0.1)
      return Client(port, options).measure()
    finally:
      server.terminate()
      server.wait()


def free_port():
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--gguf', required=True)
  parser.add_argument('--model', required=True, help='the same weights, for //serve:server')
  parser.add_argument('--dtype', default='fp32')
  parser.add_argument('--server', default='bazel-bin/serve/server')
  parser.add_argument('--threads', type=int, default=2)
  parser.add_argument('--tokens', type=int, default=32)
  parser.add_argument('--words', type=int, nargs='*', default=[8, 64])
  parser.add_argument('--concurrency', type=int, nargs='*', default=[1, 8])
  parser.add_argument('--end_tokens', type=int, nargs='*', default=[0, 2], help='ids that end a text')
  parser.add_argument('--rounds', type=int, default=2)
  options = parser.parse_args()
  for path in (options.gguf, options.model, options.server):
    if not os.path.exists(path):
      parser.error(f'{path} does not exist')
  theirs, ours = {}, {}

  def better(old, new):
    for what, value in new.items():
      old[what] = value if what not in old else (max if '/s' in what else min)(old[what], value)

  for _ in range(options.rounds):
    port = free_port()
    better(theirs, run([sys.executable, '-m', 'llama_cpp.server', '--model', options.gguf, '--model_alias', 'm', '--host',
                        '127.0.0.1', '--port', str(port), '--n_threads', str(options.threads), '--n_threads_batch',
                        str(options.threads), '--n_ctx', '2048', '--interrupt_requests', 'False', '--verbose', 'False'],
                       port, options))
    port = free_port()
    with tempfile.TemporaryDirectory() as store:
      better(ours, run([options.server, '--model', f'm={options.model}', '--dtype', options.dtype, '--threads',
                        str(options.threads), '--listen', f'127.0.0.1:{port}', '--store', store], port, options))
  print(f'{"":30}{"llama_cpp.server":>18}{"radlads":>10}{"ratio":>8}')
  for what, value in theirs.items():
    ratio = ours[what] / value if '/s' in what else value / ours[what]
    print(f'{what:30}{value:18.2f}{ours[what]:10.2f}{ratio:8.2f}')


if __name__ == '__main__':
  main()
