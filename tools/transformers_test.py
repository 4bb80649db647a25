"""What export_checkpoint writes computes in transformers what it computes in radlads.

    transformers_test.py WRITE_SMALL_MODELS EXPORT_CHECKPOINT IMPORT_CHECKPOINT      (paths of the programs)

For each small model: from_pretrained loads the directory with every tensor in its place; logits, loss, gradients and 64
greedy tokens are those of radlads; pieces with a cache, padding on either side, beams and embeddings give what the whole
sequence gives. What transformers saves is imported again bit for bit.
"""
import glob
import os
import subprocess
import sys

SCRATCH = os.environ.get('TEST_TMPDIR', '/tmp/transformers_test')
os.environ.update(HF_HUB_OFFLINE='1', HF_HOME=f'{SCRATCH}/huggingface', TRANSFORMERS_VERBOSITY='error', TQDM_DISABLE='1')
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

WRITE, EXPORT, IMPORT = sys.argv[1:]
release = tuple(int(part) for part in transformers.__version__.split('.')[:2])
LOGITS, GRADIENTS = 1e-5, 5e-5  # relative RMS
failures = []


def check(what, ok, found=''):
  if not ok:
    failures.append(f'{what}: {found}')
    print('FAILED:', failures[-1])


def close(what, got, want, tolerance):
  norm = want.double().norm()
  error = ((got.double() - want.double()).norm() / (norm if norm > 0 else 1)).item()
  check(what, got.shape == want.shape and error <= tolerance, f'relative error {error:.2e}, allowed {tolerance}')


def run(program, *arguments):
  return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def load(directory, **options):
  model, info = transformers.AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True, output_loading_info=True,
                                                                  **options)
  for key in ('missing_keys', 'unexpected_keys', 'mismatched_keys'):
    check(f'{directory}: {key}', not info[key], info[key])
  return model


def generate(model, **inputs):
  return model.generate(**inputs, max_new_tokens=64, do_sample=False, eos_token_id=None, pad_token_id=0)


def check_gradients(name, model, golden):
  ids = golden['input_ids']
  out = model(input_ids=ids, labels=ids)
  close(f'{name}: loss', out.loss.detach(), golden['loss'], 1e-6)
  out.loss.backward()
  gradients = {key: value.grad for key, value in model.named_parameters()}
  for key, want in golden.items():
    if key.startswith('grad.'):
      got = gradients.pop(key[5:])
      close(f'{name}: {key}', torch.zeros_like(want) if got is None else got, want, GRADIENTS)
  check(f'{name}: parameters', not gradients, f'radlads does not have {list(gradients)}')


@torch.no_grad()
def check_values(name, model, golden):
  ids, want = golden['input_ids'], golden['logits']
  close(f'{name}: logits', model(ids).logits, want, LOGITS)

  pieces, cache = [], None
  for first, last in ((0, 33), (33, 34), (34, 35), (35, 70)):
    out = model(ids[:, first:last], past_key_values=cache, use_cache=True)
    cache = out.past_key_values
    pieces.append(out.logits)
  close(f'{name}: split', torch.cat(pieces, 1), want, LOGITS)

  # Row 0 has 5 tokens of padding on the left, row 1 has none; both are cut at 40.
  padded, mask = torch.zeros(2, 45, dtype=torch.long), torch.zeros(2, 45, dtype=torch.long)
  padded[0, 5:], mask[0, 5:] = ids[0, :40], 1
  padded[1], mask[1] = ids[1, :45], 1
  positions = (mask.cumsum(1) - 1).clamp_min(0)
  left = model(padded, attention_mask=mask, position_ids=positions).logits
  close(f'{name}: padding on the left', left[0, 5:], want[0, :40], LOGITS)
  close(f'{name}: beside padding', left[1], want[1, :45], LOGITS)
  right = model(padded.flip(0).roll(-5, 1), attention_mask=mask.flip(0).roll(-5, 1)).logits
  close(f'{name}: padding on the right', right[1, :40], want[0, :40], LOGITS)

  prompt, greedy = golden['prompt'], golden['greedy']
  tokens = generate(model, input_ids=prompt)[:, prompt.shape[1]:]
  check(f'{name}: greedy', torch.equal(tokens, greedy), f'{tokens.tolist()}, radlads has {greedy.tolist()}')
  mask = torch.zeros(2, 12, dtype=torch.long)
  batch = ids[:, :12].clone()
  batch[0, :3], batch[0, 3:], mask[0, 3:], mask[1] = 0, prompt, 1, 1
  tokens = generate(model, input_ids=batch, attention_mask=mask)
  check(f'{name}: greedy in a batch', torch.equal(tokens[:1, 12:], greedy), tokens[:1, 12:].tolist())
  if 'Radlads' in type(model).__mro__[1].__name__:
    embedded = model.get_input_embeddings()(prompt)
    tokens = generate(model, inputs_embeds=embedded)
    check(f'{name}: from embeddings', torch.equal(tokens, greedy), tokens.tolist())
    tokens = generate(model, input_ids=prompt, use_cache=False)[:, prompt.shape[1]:]
    check(f'{name}: without a cache', torch.equal(tokens, greedy), tokens.tolist())
    one = generate(model, input_ids=prompt, num_beams=2)
    two = generate(model, input_ids=prompt, num_beams=2, use_cache=False)
    check(f'{name}: beams', torch.equal(one, two), f'{one.tolist()}, without a cache {two.tolist()}')


def check_low_precision(name, directory):
  """bf16, in shards."""
  run(EXPORT, '--from', directory, '--to', f'{directory}-bf16', '--dtype', 'bf16', '--max_shard_size', '50KB')
  check(f'{name}: shards', os.path.exists(f'{directory}-bf16/model.safetensors.index.json'), os.listdir(f'{directory}-bf16'))
  model = load(f'{directory}-bf16', **{'dtype' if release >= (4, 56) else 'torch_dtype': 'auto'})
  check(f'{name}: dtype', model.dtype == torch.bfloat16, model.dtype)
  golden = safetensors.torch.load_file(f'{directory}/golden.safetensors')
  with torch.no_grad():
    close(f'{name}: bf16', model(golden['input_ids']).logits, golden['logits'], 0.1)


def check_round_trip(name, model, directory):
  model.save_pretrained(f'{directory}-saved')
  run(IMPORT, '--from', f'{directory}-saved', '--to', f'{directory}-back')
  ours = safetensors.torch.load_file(f'{directory}/model.safetensors')
  back = safetensors.torch.load_file(f'{directory}-back/model.safetensors')
  same = ours.keys() == back.keys() and all(torch.equal(ours[key], back[key]) for key in ours)
  check(f'{name}: round trip', same, f'{sorted(ours.keys() ^ back.keys())}')


def main():
  torch.set_num_threads(1)
  run(WRITE, f'{SCRATCH}/models')
  directories = sorted(glob.glob(f'{SCRATCH}/models/*'))
  if release < (4, 51):  # has no Qwen3
    directories = [directory for directory in directories if os.path.basename(directory) != 'qwen3']
  for directory in directories:
    name = os.path.basename(directory)
    exported = f'{SCRATCH}/exported/{name}'
    os.makedirs(os.path.dirname(exported), exist_ok=True)
    run(EXPORT, '--from', directory, '--to', exported)
    model = load(exported)
    golden = safetensors.torch.load_file(f'{directory}/golden.safetensors')
    check_gradients(name, model, golden)
    check_values(name, model.eval(), golden)
    check_round_trip(name, model, directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported, trust_remote_code=True)
    check(f'{name}: tokenizer', tokenizer.decode(tokenizer('ab c')['input_ids']) == 'ab c', tokenizer('ab c'))
    check(f'{name}: model card', 'library_name: transformers' in open(f'{exported}/README.md').read())
  check_low_precision('rad_rwkv7', f'{SCRATCH}/models/rad_rwkv7')
  print(f'transformers {transformers.__version__}, {len(directories)} models, {len(failures)} failures')
  sys.exit(1 if failures or len(directories) < 10 else 0)


main()
