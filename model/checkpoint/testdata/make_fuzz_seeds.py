#!/usr/bin/env python3
"""Writes fuzz/, what the fuzz tests grow their inputs from. Needs numpy and gguf 0.19.

gguf/         a layer each of llama and rwkv6qwen2, and a row of every type
pth/          the pickles of ../pth, which are fuzzed apart from their archives
safetensors/  weights in blocks
"""
import glob
import json
import os
import struct
import zipfile

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, VOCABULARY = 32, 40


def write(name, architecture, tensors, keys=()):
  writer = gguf.GGUFWriter(f'{HERE}/fuzz/gguf/{name}.gguf', architecture)
  for key, value in keys:
    (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f'{architecture}.{key}', value)
  if keys:
    writer.add_tokenizer_model('gpt2')
    writer.add_tokenizer_pre('smollm')
    writer.add_token_list(['<|end|>'] + [chr(ord('a') + i) for i in range(26)] + ['ab'])
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * 27)
    writer.add_token_merges(['a b'])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template("{{ messages[0]['content'] }}")
  for tensor, kind, shape in tensors:
    values = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    writer.add_tensor(tensor, values if kind == Type.F32 else gguf.quantize(values, kind), raw_dtype=kind)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()


def outside(*layer):
  body = [('attn_norm', Type.F32, [WIDTH]), ('ffn_norm', Type.F32, [WIDTH]), ('ffn_gate', Type.Q8_0, [WIDTH, WIDTH]),
          ('ffn_up', Type.Q4_0, [WIDTH, WIDTH]), ('ffn_down', Type.Q4_1, [WIDTH, WIDTH])]
  return [('token_embd.weight', Type.Q8_0, [VOCABULARY, WIDTH]), ('output_norm.weight', Type.F32, [WIDTH]),
          *((f'blk.0.{name}.weight', kind, shape) for name, kind, shape in [*body, *layer])]


SIZES = [('block_count', 1), ('embedding_length', WIDTH), ('feed_forward_length', WIDTH), ('context_length', 64),
         ('attention.layer_norm_rms_epsilon', 1e-5)]
matrix = [WIDTH, WIDTH]
write('llama', 'llama', outside(('attn_q', Type.Q4_0, matrix), ('attn_k', Type.Q4_1, matrix), ('attn_v', Type.Q8_0, matrix),
                                ('attn_output', Type.Q4_0, matrix)) + [('rope_freqs.weight', Type.F32, [8])],
      [*SIZES, ('attention.head_count', 2), ('attention.head_count_kv', 2), ('rope.freq_base', 10000.0)])
write('rwkv6qwen2', 'rwkv6qwen2',
      outside(*[(f'time_mix_{name}', Type.Q4_0, matrix) for name in ('receptance', 'key', 'value', 'output', 'gate')],
              ('time_mix_lerp_x', Type.F32, [WIDTH]), ('time_mix_lerp_fused', Type.F32, [5, 1, 1, WIDTH]),
              ('time_mix_w1', Type.F32, [10, WIDTH]), ('time_mix_w2', Type.F32, [5, WIDTH, 2]), ('time_mix_decay', Type.F32, [WIDTH]),
              ('time_mix_decay_w1', Type.F32, [2, WIDTH]), ('time_mix_decay_w2', Type.F32, [WIDTH, 2])),
      [*SIZES, ('wkv.head_size', 16), ('attention.head_count_kv', 2), ('time_mix_extra_dim', 2), ('time_decay_extra_dim', 2)])
write('types', 'none', [(kind.name, kind, [1, WIDTH]) for kind in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1,
                                                                   Type.Q5_0, Type.Q5_1)])

for path in glob.glob(f'{HERE}/pth/*.pth'):
  if zipfile.is_zipfile(path):
    archive = zipfile.ZipFile(path)
    pickle = next(name for name in archive.namelist() if name.endswith('data.pkl'))
    open(f'{HERE}/fuzz/pth/{os.path.basename(path)[:-4]}.pkl', 'wb').write(archive.read(pickle))

blocks = {'a.q_proj.weight.q8': {'dtype': 'U8', 'shape': [2, 1, 34], 'data_offsets': [0, 68]},
          'b.q_proj.weight.q4': {'dtype': 'U8', 'shape': [1, 2, 20], 'data_offsets': [68, 108]},
          'b.bias': {'dtype': 'BF16', 'shape': [4], 'data_offsets': [108, 116]},
          'flag': {'dtype': 'BOOL', 'shape': [], 'data_offsets': [116, 117]}, '__metadata__': {'format': 'pt'}}
header = json.dumps(blocks).encode()
open(f'{HERE}/fuzz/safetensors/blocks.safetensors', 'wb').write(struct.pack('<Q', len(header)) + header + bytes(range(117)))
