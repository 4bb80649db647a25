"""Makes testdata/pth: files of torch.save, and what a reader must refuse. PyTorch 2.11, safetensors 0.8."""
import collections
import os
import pickle
import sys
import zipfile

import torch
from safetensors.torch import save_file

OUT = sys.argv[1]
torch.manual_seed(1)
norm = torch.nn.LayerNorm(5)
module = torch.nn.Sequential(collections.OrderedDict(first=torch.nn.Linear(3, 5), norm=norm, last=torch.nn.Linear(4, 2).half()))
state = module.state_dict()  # an OrderedDict with _metadata
torch.save(state, f'{OUT}/state_dict.pth')
save_file(dict(state), f'{OUT}/state_dict.safetensors')
torch.save({'state_dict': state, 'epoch': 3}, f'{OUT}/nested.pth')
torch.save({name: torch.nn.Parameter(tensor.float()) for name, tensor in state.items()}, f'{OUT}/parameters.pth')

embedding = torch.randn(6, 4).bfloat16()
plain = {'embedding': embedding, 'head': embedding, 'transposed': torch.randn(3, 4).t(), 'slice': torch.randn(5, 4)[1:3, 2:],
         'scalar': torch.tensor(2.5, dtype=torch.float64), 'empty': torch.zeros(0, 3), 'counts': torch.arange(300),
         'flags': torch.tensor([True, False])}
torch.save(plain, f'{OUT}/plain.pth')
save_file({name: tensor.clone().contiguous() for name, tensor in plain.items()}, f'{OUT}/plain.safetensors')


class Evil:

  def __reduce__(self):
    return os.system, ('touch /tmp/this_must_not_be',)


torch.save({'weight': torch.zeros(2), 'evil': Evil()}, f'{OUT}/evil.pth')
torch.save({'weight': torch.zeros(2)}, f'{OUT}/old.pth', _use_new_zipfile_serialization=False)
torch.save([torch.zeros(2), torch.zeros(2)], f'{OUT}/list.pth')
torch.save({'weight': torch.zeros(2), 'optimizer': {'lr': 1.0}}, f'{OUT}/mixed.pth')

source = zipfile.ZipFile(f'{OUT}/plain.pth')
with zipfile.ZipFile(f'{OUT}/compressed.pth', 'w', zipfile.ZIP_DEFLATED) as target:
  for name in source.namelist():
    target.writestr(name, source.read(name))
# A tensor of 4 elements whose storage has 2.
with zipfile.ZipFile(f'{OUT}/outside.pth', 'w') as target:
  torch.save({'weight': torch.zeros(4)}, f'{OUT}/four.tmp')
  four = zipfile.ZipFile(f'{OUT}/four.tmp')
  for name in four.namelist():
    content = four.read(name)
    target.writestr(name, content[:8] if name.endswith('data/0') else content)
os.remove(f'{OUT}/four.tmp')
