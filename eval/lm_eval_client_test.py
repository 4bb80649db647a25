"""lm_eval, as PyPI has it, asks //eval:server what //eval:run computes in process: the answers are the same.

    lm_eval_client_test.py WRITE_SMALL_MODELS RUN SERVER      (paths of the programs; in the root of the repository)

Every way that lm_eval has to ask: token ids or text, the server's tokenizer or Hugging Face's, one request at a time or
eight, alone or in batches, its command line, and its other client (gguf). All three types of requests, on the tasks of
eval/testdata. Log likelihoods may differ by rounding, because what is asked together is added up in another order;
texts, greedy flags and choices may not.
"""
import contextlib
import glob
import importlib.metadata
import itertools
import json
import os
import re
import subprocess
import sys
import time

SCRATCH = os.environ['TEST_TMPDIR']
os.environ.update(HF_HUB_OFFLINE='1', HF_DATASETS_OFFLINE='1', HF_HOME=f'{SCRATCH}/huggingface', HOME=SCRATCH,
                  TOKENIZERS_PARALLELISM='false', TQDM_DISABLE='1', DISABLE_MULTIPROC='1',
                  LMEVAL_LOG_LEVEL='WARNING')
import lm_eval  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

DATA = 'eval/testdata'
TASKS = ['arc_easy', 'piqa', 'science', 'lambada', 'blanks', 'prose', 'sums']
MODEL = f'{SCRATCH}/models/hybrid'
# lm_eval keeps a place of its context for what is generated, and one more in rolling windows. Some texts are longer.
CONTEXT, CLIENT_CONTEXT = 448, 450
TOLERANCE = 1e-5  # relative, below 1 absolute
BOOTSTRAP = 100  # resamples for standard errors of perplexity

CONTINUATIONS = '''
task: continuations
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{context}}"
doc_to_choice: choices
doc_to_target: 0
target_delimiter: ""
metric_list: [{metric: acc}]
'''


def run_in_process(run, name, tasks):
  """-> {task: {document: sample}}, {task: {metric: value}}"""
  output = f'{SCRATCH}/{name}'
  subprocess.run([run, 'tasks', '--model', MODEL, '--output', output, '--max_length', str(CONTEXT), '--threads', '1',
                  '--bootstrap_iters', str(BOOTSTRAP), '--tasks', *tasks], check=True)
  return read_output(output)


def number_or_flag(response):
  """lm_eval's command line writes the numbers and flags of log likelihoods as text."""
  return [json.loads(str(value).lower()) for value in response] if isinstance(response, list) else response


def read_output(folder):
  """What //eval:run and lm_eval's command line write, in the same layout."""
  samples = {}
  for path in glob.glob(f'{folder}/**/samples_*.jsonl', recursive=True):
    task = re.fullmatch(r'samples_([a-z_]+?)(_20.*)?\.jsonl', os.path.basename(path))[1]
    with open(path, encoding='utf-8') as file:
      rows = [json.loads(line) for line in file]
    for row in rows:
      row['arguments'] = [list(arguments.values()) for arguments in row['arguments'].values()]
      row['resps'] = [[number_or_flag(response)] for (response,) in row['resps']]
    samples[task] = {row['doc_id']: row for row in rows}
  (path,) = glob.glob(f'{folder}/**/results*.json', recursive=True)
  with open(path, encoding='utf-8') as file:
    return samples, json.load(file)['results']


def write_tasks(samples):
  """Tasks that need to know what the model says. -> their YAML files."""
  with open(f'{SCRATCH}/continuations.jsonl', 'w', encoding='utf-8') as file:
    for sample in samples['sums'].values():
      (context, _), ((text,),) = sample['arguments'][0], sample['resps']
      if text:  # the likeliest continuation, and one that is not
        other = text[:-1] + ('a' if text[-1] != 'a' else 'b')
        file.write(json.dumps({'context': context, 'choices': [text, other]}) + '\n')
  paths = [f'{SCRATCH}/{name}.yaml' for name in ('continuations', 'long_sums')]
  with open(paths[0], 'w', encoding='utf-8') as file:
    file.write(CONTINUATIONS % f'{SCRATCH}/continuations.jsonl')
  # The gguf client names no length.
  with open(f'{DATA}/sums.yaml', encoding='utf-8') as file, open(paths[1], 'w', encoding='utf-8') as out:
    out.write(file.read().replace('task: sums', 'task: long_sums').replace('max_gen_toks: 16', 'max_gen_toks: 256'))
  return paths


@contextlib.contextmanager
def served(server):
  """-> http://HOST:PORT"""
  log = f'{SCRATCH}/server.log'
  with open(log, 'w', encoding='utf-8') as file:
    process = subprocess.Popen([server, '--model', MODEL, '--port', '0', '--max_length', str(CLIENT_CONTEXT),
                                '--threads', '1'], stderr=file)
  try:
    deadline = time.monotonic() + 60
    while True:
      with open(log, encoding='utf-8') as file:
        said = file.read()
      if found := re.search(r'on (http://[0-9.:]+)', said):
        break
      if process.poll() is not None or time.monotonic() > deadline:
        sys.exit(f'FAILED: the server does not come up; it said:\n{said}')
      time.sleep(0.05)
    yield found[1]
  finally:
    process.terminate()
    code = process.wait(timeout=60)
  if code != 0:
    sys.exit(f'FAILED: the server exited with {code} after SIGTERM')


def ask(client, arguments, batch_size, tasks):
  """As run_in_process, of what lm_eval has by this client."""
  run = lm_eval.simple_evaluate(model=client, model_args=arguments, batch_size=batch_size, tasks=tasks,
                                log_samples=True, bootstrap_iters=BOOTSTRAP,
                                task_manager=TaskManager(include_defaults=False))
  return {task: {row['doc_id']: row for row in rows} for task, rows in run['samples'].items()}, run['results']


def ask_by_command_line(url):
  command = [sys.executable, '-m', 'lm_eval', 'run', '--model', 'local-completions', '--model_args',
             f'base_url={url}/v1/completions,model=small,num_concurrent=8,max_length={CLIENT_CONTEXT}',
             '--include_path', DATA, '--tasks', 'arc_easy,sums', '--log_samples', '--output_path', f'{SCRATCH}/command_line']
  subprocess.run(command, check=True)
  return read_output(f'{SCRATCH}/command_line')


def flat(value):
  """Numbers, flags and texts of nested lists."""
  if isinstance(value, (list, tuple)):
    return [leaf for item in value for leaf in flat(item)]
  return [value]


class Comparison:
  """Of what lm_eval got from the server with what was computed in process."""

  def __init__(self):
    self.errors, self.numbers, self.greedy, self.furthest = [], 0, 0, 0.0

  def equal(self, what, got, want):
    got, want = flat(got), flat(want)
    same = len(got) == len(want)
    for a, b in zip(got, want):
      if isinstance(a, float) and isinstance(b, float):
        self.numbers += 1
        self.furthest = max(self.furthest, abs(a - b) / max(1, abs(b)))
        same = same and abs(a - b) <= TOLERANCE * max(1, abs(b))
      else:
        self.greedy += a is True
        same = same and a == b
    if not same:
      self.errors.append(f'{what}: {got} by lm_eval, {want} in process')

  def document(self, where, got, want):
    self.equal(f'{where}, texts', *([[a for a in arguments if isinstance(a, str)] for arguments in row['arguments']]
                                    for row in (got, want)))
    self.equal(f'{where}, responses', got['resps'], want['resps'])
    scores = [[response[0] for (response,) in row['resps'] if isinstance(response, (list, tuple))]
              for row in (got, want)]
    if scores[1]:
      self.equal(f'{where}, choice', *(row.index(max(row)) for row in scores))
    for metric in want['metrics']:
      self.equal(f'{where}, {metric}', got[metric], want[metric])

  def tasks(self, got, want, names):
    (samples, results), (want_samples, want_results) = got, want
    for task in names:
      self.equal(f'{task}, documents', sorted(samples[task]), sorted(want_samples[task]))
      for number, row in want_samples[task].items():
        self.document(f'{task}, document {number}', samples[task].get(number, {}), row)
      for metric, value in want_results[task].items():
        self.equal(f'{task}, {metric}', results[task].get(metric), value)


def main(write_small_models, run, server):
  print('lm_eval', importlib.metadata.version('lm_eval'), flush=True)
  subprocess.run([write_small_models, f'{SCRATCH}/models'], check=True)
  files = [f'{DATA}/{task}.yaml' for task in TASKS]
  samples, results = run_in_process(run, 'in_process', files)
  more = write_tasks(samples)
  more_samples, more_results = run_in_process(run, 'more_in_process', more)
  if any([r[1] for (r,) in row['resps']] != [True, False] for row in more_samples['continuations'].values()):
    sys.exit('FAILED: what the model generates is not its likeliest continuation')
  want = samples | more_samples, results | more_results

  failed = False

  def check(what, names, asking):
    nonlocal failed
    start = time.monotonic()
    comparison = Comparison()
    comparison.tasks(asking(), want, names)
    for error in comparison.errors[:10]:
      print('FAILED:', what, error)
    failed = failed or bool(comparison.errors)
    print(f'{what}: {len(comparison.errors)} differences; {comparison.numbers} numbers, furthest apart by '
          f'{comparison.furthest:.1e}, {comparison.greedy} greedy; {time.monotonic() - start:.1f} s', flush=True)

  with served(server) as url:
    completions = dict(base_url=f'{url}/v1/completions', model='small', tokenizer=None, max_length=CLIENT_CONTEXT)
    for backend, by_ids, concurrent in itertools.product(('remote', 'huggingface'), (True, False), (1, 8)):
      batch = 3 if by_ids == (concurrent == 1) else 1
      arguments = completions | dict(tokenizer_backend=backend, tokenized_requests=by_ids, num_concurrent=concurrent)
      if backend == 'huggingface':
        arguments['tokenizer'] = MODEL
      check(f'tokenizer {backend}, {"ids" if by_ids else "text"}, {concurrent} at once, batches of {batch}',
            [*TASKS, 'continuations'], lambda: ask('local-completions', arguments, batch, [*files, more[0]]))
    check('command line', ['arc_easy', 'sums'], lambda: ask_by_command_line(url))
    # This client strips what is generated, finds the continuation by counting characters (which are all in the
    # vocabulary in these tasks), cannot score without a context, and has no rolling requests.
    for row in want[0]['long_sums'].values():
      row['resps'] = [[row['resps'][0][0].strip()]]
    check('gguf', ['arc_easy', 'continuations', 'long_sums'],
          lambda: ask('gguf', dict(base_url=url), 1, [f'{DATA}/arc_easy.yaml', *more]))
  if failed:
    sys.exit('FAILED')


if __name__ == '__main__':
  main(*sys.argv[1:])
