#!/usr/bin/env python3
"""Scoring tasks beside lm_eval with its hf backend: the same answers, and how much faster.

    tools/setup.sh --peers && bazel build -- //eval:run //eval:server
    ~/.cache/radlads/peers/bin/python eval/compare_with_lm_eval.py --model DIR --limit 50 --tasks FILE.yaml ...

One after the other, on the first --limit documents of each task, in fp32 on a CPU: lm_eval with PyTorch at the best of
--batch_sizes (chosen on a tenth of the documents), //eval:run in process, and lm_eval's local-completions client,
8 requests at once, against //eval:server. What is timed is from the requests to the answers: inside of lm_eval's model,
without loading it and without the metrics; for //eval:run, all it does once the model is loaded. Exits with 1 where
choices or greedy flags differ and are no ties.
"""
import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

TIE = 1e-3  # log likelihoods this close may change places


class Stopwatch:
  """Time inside of a model's methods that lm_eval calls, and the CPU time of this process meanwhile."""

  def __init__(self, model):
    self.seconds = self.cpu_seconds = 0.0
    for name in ('loglikelihood', 'loglikelihood_rolling', 'generate_until'):
      setattr(model, name, self.timed(getattr(model, name)))

  def timed(self, method):
    def call(*args, **kwargs):
      start, cpu_start = time.perf_counter(), time.process_time()
      try:
        return method(*args, **kwargs)
      finally:
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu_start
    return call


def lm_eval_role(role, settings):
  """In a process of its own: one run of lm_eval. Prints {"seconds", "cpu_seconds", "answers": {task: documents}}."""
  import torch
  torch.set_num_threads(settings['threads'])
  import lm_eval
  from lm_eval.tasks import TaskManager
  if role == 'hf':
    from lm_eval.models.huggingface import HFLM
    model = HFLM(pretrained=settings['model'], dtype='float32', device='cpu', batch_size=settings['batch_size'])
  else:
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    model = LocalCompletionsAPI(base_url=settings['url'], model='served', tokenizer_backend='huggingface',
                                tokenizer=settings['model'], num_concurrent=settings['concurrency'],
                                batch_size=settings['batch_size'], max_length=settings['max_length'])
  stopwatch = Stopwatch(model)
  run = lm_eval.simple_evaluate(model=model, tasks=settings['tasks'], limit=settings['limit'], log_samples=True,
                                bootstrap_iters=0, task_manager=TaskManager(include_defaults=False))
  answers = {task: [[response for (response,) in row['resps']] for row in sorted(rows, key=lambda row: row['doc_id'])]
             for task, rows in run['samples'].items()}
  print(json.dumps(vars(stopwatch) | {'answers': answers}))


def run_lm_eval(role, args, **settings):
  settings |= {'model': args.model, 'tasks': args.tasks, 'threads': args.threads}
  environment = os.environ | {'HF_HUB_OFFLINE': '1', 'HF_DATASETS_OFFLINE': '1', 'TOKENIZERS_PARALLELISM': 'false',
                              'OMP_NUM_THREADS': str(args.threads), 'TQDM_DISABLE': '1'}
  done = subprocess.run([sys.executable, __file__, '--role', role, json.dumps(settings)], check=True, env=environment,
                        stdout=subprocess.PIPE, text=True)
  return json.loads(done.stdout.splitlines()[-1])


def run_hf(args):
  few, times = max(1, args.limit // 10), {}
  for batch_size in args.batch_sizes:
    times[batch_size] = run_lm_eval('hf', args, batch_size=batch_size, limit=few)['seconds']
    print(f'hf, batches of {batch_size}: {times[batch_size]:.1f} s for {few} documents a task', file=sys.stderr)
  best = min(times, key=times.get)
  return run_lm_eval('hf', args, batch_size=best, limit=args.limit) | {'name': f'lm_eval, hf, batches of {best}'}


def run_in_process(args):
  with tempfile.TemporaryDirectory() as output:
    command = [args.run, 'tasks', '--model', args.model, '--limit', str(args.limit), '--output', output,
               '--threads', str(args.threads), '--bootstrap_iters', '0', '--tasks', *args.tasks]
    start = None
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
      for line in process.stderr:
        if 'scoring with' in line:
          start = time.perf_counter()
    seconds = time.perf_counter() - start
    if process.returncode != 0:
      sys.exit(f'{" ".join(command)} exited with {process.returncode}')
    answers = {}
    for name in os.listdir(output):
      if found := re.fullmatch(r'samples_(.*)\.jsonl', name):
        with open(os.path.join(output, name), encoding='utf-8') as file:
          answers[found[1]] = [[response for (response,) in json.loads(line)['resps']] for line in file]
  return {'name': 'radlads, in process', 'seconds': seconds, 'answers': answers}


@contextlib.contextmanager
def served(args):
  """-> URL, length of the context"""
  command = [args.server, '--model', args.model, '--port', '0', '--threads', str(args.threads)]
  with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
    for line in process.stderr:
      if found := re.search(r'on (http://\S+), context (\d+)', line):
        break
    else:
      sys.exit(f'{" ".join(command)} exited with {process.wait()}')
    try:
      yield f'{found[1]}/v1/completions', int(found[2])
    finally:
      process.terminate()


def run_served(args):
  with served(args) as (url, context):
    answers = run_lm_eval('served', args, url=url, limit=args.limit, concurrency=args.concurrency,
                          batch_size=args.client_batch_size, max_length=context)
    with urllib.request.urlopen(url.replace('/v1/completions', '/metrics')) as metrics:
      busy = re.search(r'\nradlads_eval_model_busy_seconds_total (\S+)', metrics.read().decode())
  name = f'lm_eval, {args.concurrency} at once, batches of {args.client_batch_size}, radlads server'
  return answers | {'name': name, 'busy_seconds': float(busy[1])}


def differences(ours, theirs):
  """Prints the answers that differ by more than rounding. -> whether some are no ties, the largest difference"""
  bad, largest = False, 0.0
  for task in theirs:
    for document, (got, want) in enumerate(zip(ours[task], theirs[task], strict=True)):
      if not isinstance(want[0], list):
        texts = isinstance(want[0], str)
        largest = largest if texts else max(largest, *(abs(a - b) for a, b in zip(got, want)))
        changed, tie = texts and got != want, False
      else:
        largest = max(largest, *(abs(a[0] - b[0]) for a, b in zip(got, want)))
        picks = [max(range(len(want)), key=lambda i: row[i][0]) for row in (got, want)]
        greedy = [[response[1] for response in row] for row in (got, want)]
        changed = picks[0] != picks[1] or greedy[0] != greedy[1]
        tie = greedy[0] == greedy[1] and abs(want[picks[0]][0] - want[picks[1]][0]) < TIE
      if changed:
        print(f'{task}, document {document}{", a tie" if tie else ""}: {got} here, {want} by hf')
        bad = bad or not tie
  return bad, largest


def main():
  if sys.argv[1:2] == ['--role']:
    return lm_eval_role(sys.argv[2], json.loads(sys.argv[3]))
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--model', required=True, help='Hugging Face directory that transformers can load')
  parser.add_argument('--tasks', required=True, nargs='+', help='YAML files of lm_eval with local data')
  parser.add_argument('--limit', type=int, default=50, help='documents of each task')
  parser.add_argument('--threads', type=int, default=os.cpu_count())
  parser.add_argument('--batch_sizes', type=int, nargs='+', default=[1, 8, 32], help='of hf; the best is taken')
  parser.add_argument('--concurrency', type=int, default=8, help='requests at once of the client')
  parser.add_argument('--client_batch_size', type=int, default=64, help='prompts in each of them')
  parser.add_argument('--run', default='bazel-bin/eval/run')
  parser.add_argument('--server', default='bazel-bin/eval/server')
  args = parser.parse_args()

  rows = []
  for run in (run_hf, run_in_process, run_served):
    rows.append(run(args))
    print(f'{rows[-1]["name"]}: {rows[-1]["seconds"]:.1f} s', file=sys.stderr)
  hf, in_process, http = rows
  requests = sum(len(document) for documents in hf['answers'].values() for document in documents)
  print(f'{args.limit} documents of each of {len(args.tasks)} tasks, {requests} requests, {args.threads} threads')
  print('| | s | requests/s | hf over it | log likelihoods off by at most |\n|---|---|---|---|---|')
  bad = False
  for row in rows:
    changed, largest = differences(row['answers'], hf['answers'])
    bad = bad or changed
    print(f'| {row["name"]} | {row["seconds"]:.1f} | {requests / row["seconds"]:.1f} '
          f'| {hf["seconds"] / row["seconds"]:.2f} | {largest:.1e} |')
  print(f'By HTTP {http["seconds"] / in_process["seconds"] - 1:+.1%} of the time in process. The model of the server was '
        f'busy for {http["busy_seconds"]:.1f} s of it: {http["seconds"] / http["busy_seconds"] - 1:+.1%} for transport, '
        f'server and client, which used {http["cpu_seconds"]:.1f} s of CPU time.')
  sys.exit(1 if bad else 0)


if __name__ == '__main__':
  main()
