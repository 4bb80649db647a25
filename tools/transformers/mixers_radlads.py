"""The mixers of RAD-RWKV6 and RAD-RWKV7, softmax attention, and what they are made of, in plain PyTorch.

Shapes: B batch, T time, C width, H heads, D head size, A = H*D. Norms, recurrence and softmax are computed in fp32 (fp64
in a model of fp64), everything else in the dtype of the weights.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


MIN_LOG_DECAY = -5.0  # of RAD-RWKV6


def wide(dtype):
  return torch.float64 if dtype == torch.float64 else torch.float32


class Context:
  """What the layers of one forward pass share."""

  def __init__(self, config, x, attention_mask, position_ids, cache):
    batch, time = x.shape[:2]
    self.cache = cache
    # [B,T] bool, False for padding; None when there is none.
    self.mask = None
    if attention_mask is not None:
      mask = attention_mask[:, -time:].to(torch.bool)
      self.mask = None if bool(mask.all()) else mask
    offsets = torch.arange(time, device=x.device).expand(batch, time)
    if self.mask is not None:
      offsets = (self.mask.long().cumsum(1) - 1).clamp_min(0)
    start = torch.zeros(batch, dtype=torch.long, device=x.device)
    if cache is not None and cache.positions is not None:
      start = cache.positions
    if position_ids is None:
      position_ids = start[:, None] + offsets
    self.cos, self.sin = rope_tables(config, position_ids, wide(x.dtype))
    # [B,S] of softmax layers: the tokens so far.
    self.key_mask = self.mask
    if cache is not None:
      if cache.mask is not None or self.mask is not None:
        ones = lambda length: torch.ones(batch, length, dtype=torch.bool, device=x.device)
        before = cache.mask if cache.mask is not None else ones(cache.seen)
        self.key_mask = torch.cat([before, self.mask if self.mask is not None else ones(time)], 1)
      cache.mask = self.key_mask
      cache.positions = start + (self.mask.sum(1) if self.mask is not None else time)
      cache.seen += time
    self.v_first = None

  def carried(self, layer, name):
    return None if self.cache is None else self.cache.layers[layer].get(name)

  def carry(self, layer, name, tensor):
    if self.cache is not None:
      self.cache.layers[layer][name] = tensor.detach()

  def hide(self, *tensors):
    """Zero at padding; tensors are [B,T,...]."""
    if self.mask is None:
      return tensors
    return tuple(x.masked_fill(~self.mask.reshape(self.mask.shape + (1,) * (x.dim() - 2)), 0) for x in tensors)


def rope_frequencies(config):
  """[D/2] in double: default, linear, llama3 (arXiv 2407.21783) and yarn (arXiv 2309.00071)."""
  rope, size = config.rope_parameters, config.head_dim
  base = float(rope['rope_theta'])
  f = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size) / rope.get('rescale', 1)
  kind = rope.get('rope_type', rope.get('type', 'default'))
  if kind == 'default':
    return f
  factor = rope['factor']
  if kind == 'linear':
    return f / factor
  original = rope.get('original_max_position_embeddings') or config.max_position_embeddings
  if kind == 'llama3':
    low, high = rope['low_freq_factor'], rope['high_freq_factor']
    smooth = ((original * f / (2 * math.pi) - low) / (high - low)).clamp(0, 1)
    return (1 - smooth) * f / factor + smooth * f
  if kind == 'yarn':
    dimension = lambda turns: size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))
    low = max(math.floor(dimension(rope.get('beta_fast') or 32)), 0)
    high = min(math.ceil(dimension(rope.get('beta_slow') or 1)), size - 1)
    ramp = ((torch.arange(size // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
    return f / factor * ramp + f * (1 - ramp)
  raise ValueError(f'rope_type {kind!r} is not known; known are default, linear, llama3, yarn')


def rope_tables(config, positions, dtype):
  """positions [B,T] -> cos, sin [B,T,1,D]."""
  rope = config.rope_parameters
  f = rope_frequencies(config).to(positions.device, dtype)
  angle = positions.to(dtype)[..., None] * f
  angle = torch.cat([angle, angle], -1)[:, :, None]
  scale = 1.0
  if rope.get('rope_type', rope.get('type')) == 'yarn':
    factor = rope['factor']
    scale = rope.get('attention_factor') or (0.1 * math.log(factor) + 1 if factor > 1 else 1.0)
  return angle.cos() * scale, angle.sin() * scale


def rotate(x, context):
  """x [B,T,heads,D]; halves are rotated."""
  a, b = x.chunk(2, -1)
  return (x * context.cos + torch.cat([-b, a], -1) * context.sin).to(x.dtype)


def wkv(r, log_w, k, v, state, a=None, b=None):
  """The recurrences of both students, for each row and head by itself:

      h_t = diag(e^log_w_t) h_{t-1} + b_t (a_t^T h_{t-1}) + k_t v_t^T,    o_t = r_t^T h_t

  r, log_w, k, v, a, b [B,T,H,D], state [B,H,D,D] -> o [B,T,H,D], the state after the last token. Without a and b there
  is no delta term (RAD-RWKV6).
  """
  if r.shape[1] == 1:
    r, log_w, k, v = (x[:, 0] for x in (r, log_w, k, v))
    after = state * log_w.exp()[..., None] + k[..., None] * v[..., None, :]
    if a is not None:
      after = after + b[:, 0, :, :, None] * torch.einsum('bhk,bhkv->bhv', a[:, 0], state)[..., None, :]
    return torch.einsum('bhk,bhkv->bhv', r, after)[:, None], after

  # Whole chunks at once. Within a chunk, e^(sum of log_w) is taken relative to the middle, so that neither it nor its
  # inverse leaves fp32: log_w is above -0.61 with the delta term, above -5 without.
  time = r.shape[1]
  chunk = 16 if a is None else 64
  padding = -time % chunk

  def blocks(x):  # [B,T,H,D] -> [B,H,N,chunk,D]
    return F.pad(x, (0, 0, 0, 0, 0, padding)).unflatten(1, (-1, chunk)).permute(0, 3, 1, 2, 4)

  r, log_w, k, v = blocks(r), blocks(log_w), blocks(k), blocks(v)
  total = log_w.cumsum(-2)
  middle = total[..., chunk // 2 - 1:chunk // 2, :]
  last = total[..., -1:, :]
  shrink = (middle - total).exp()
  enter, leave = middle.exp(), (last - middle).exp()
  r, k = r * (total - middle).exp(), k * shrink
  out = (r @ k.mT).tril() @ v                   # of this chunk's own tokens
  read = r * enter                              # times the state that enters: the rest
  add = (k * leave).mT @ v                      # to the state that leaves
  keep = torch.diag_embed((enter * leave).squeeze(-2))  # times the state that enters
  if a is not None:
    a, b = blocks(a) * (total - log_w - middle).exp(), blocks(b) * shrink
    one = torch.eye(chunk, dtype=a.dtype, device=a.device)
    # a_t^T h_{t-1} = p_t h_enters + q_t
    p_q = torch.linalg.solve_triangular(one - (a @ b.mT).tril(-1), torch.cat([a * enter, (a @ k.mT).tril(-1) @ v], -1),
                                        upper=False, unitriangular=True)
    p, q = p_q.split([a.shape[-1], v.shape[-1]], -1)
    seen, b = (r @ b.mT).tril(), b * leave
    out, read = out + seen @ q, read + seen @ p
    add, keep = add + b.mT @ q, keep + b.mT @ p
  states = []
  for n in range(out.shape[2]):
    states.append(state)
    state = keep[:, :, n] @ state + add[:, :, n]
  out = out + read @ torch.stack(states, 2)
  return out.permute(0, 2, 3, 1, 4).flatten(1, 2)[:, :time], state


class RmsNorm(nn.Module):

  def __init__(self, width, eps):
    super().__init__()
    self.weight = nn.Parameter(torch.ones(width))
    self.eps = eps

  def forward(self, x):
    y = x.to(wide(x.dtype))
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
    return self.weight * y.to(self.weight.dtype)


class GroupNorm(nn.Module):
  """Over each head; eps is head size * 1e-5."""

  def __init__(self, width, heads):
    super().__init__()
    self.weight = nn.Parameter(torch.ones(width))
    self.bias = nn.Parameter(torch.zeros(width))
    self.heads = heads

  def forward(self, o):  # [B,T,H,D] -> [B,T,A]
    o = F.layer_norm(o, o.shape[-1:], eps=o.shape[-1] * 1e-5).flatten(-2)
    return o * self.weight.to(o.dtype) + self.bias.to(o.dtype)


class Attention(nn.Module):
  """The projections that all mixers share. As it is: causal softmax attention."""

  def __init__(self, config, layer):
    super().__init__()
    width, size = config.hidden_size, config.head_dim
    self.config, self.layer = config, layer
    self.heads, self.groups = config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads
    self.q_proj = nn.Linear(width, self.heads * size, bias=config.attention_bias)
    self.k_proj = nn.Linear(width, config.num_key_value_heads * size, bias=config.attention_bias)
    self.v_proj = nn.Linear(width, config.num_key_value_heads * size, bias=config.attention_bias)
    self.o_proj = nn.Linear(self.heads * size, width, bias=False)
    if config.qk_norm:
      self.q_norm, self.k_norm = RmsNorm(size, config.rms_norm_eps), RmsNorm(size, config.rms_norm_eps)

  def project(self, xq, xk, xv, context, rope):
    """-> q, k, v [B,T,heads,D], normed and rotated."""
    q, k, v = (projection(x).unflatten(-1, (-1, self.config.head_dim))
               for projection, x in ((self.q_proj, xq), (self.k_proj, xk), (self.v_proj, xv)))
    if self.config.qk_norm:
      q, k = self.q_norm(q), self.k_norm(k)
    if rope:
      q, k = rotate(q, context), rotate(k, context)
    return q, k, v

  def expand(self, x):
    return x.repeat_interleave(self.groups, 2)

  def forward(self, x, context):
    q, k, v = (y.transpose(1, 2) for y in self.project(x, x, x, context, rope=True))
    key, value = context.carried(self.layer, 'key'), context.carried(self.layer, 'value')
    if key is not None:
      k, v = torch.cat([key, k], 2), torch.cat([value, v], 2)
    context.carry(self.layer, 'key', k)
    context.carry(self.layer, 'value', v)
    now, all_ = q.shape[2], k.shape[2]
    mask = torch.ones(now, all_, dtype=torch.bool, device=x.device).tril(all_ - now)
    if context.key_mask is not None:
      # A padding token sees itself: a row of nothing has no softmax.
      itself = torch.eye(now, all_, dtype=torch.bool, device=x.device).roll(all_ - now, 1)
      mask = (mask & context.key_mask[:, None, None]) | itself
    k, v = k.repeat_interleave(self.groups, 1), v.repeat_interleave(self.groups, 1)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return self.o_proj(y.transpose(1, 2).flatten(-2))


class Recurrent(Attention):
  """What RAD-RWKV6 and RAD-RWKV7 share: state, group norm, gate."""

  def __init__(self, config, layer):
    super().__init__(config, layer)
    width, attention = config.hidden_size, self.heads * config.head_dim
    if config.groupnorm_att:
      self.ln_x = GroupNorm(attention, self.heads)
    if config.gate_rank_type == 1:
      self.gate = nn.Linear(width, attention, bias=False)
    elif config.gate_rank_type == 2:
      self.g1 = nn.Parameter(torch.empty(width, config.lora_rank_gate))
      self.g2 = nn.Parameter(torch.empty(config.lora_rank_gate, attention))

  def recur(self, x, context, *operands):
    state = context.carried(self.layer, 'wkv')
    if state is None:
      size = self.config.head_dim
      state = torch.zeros(x.shape[0], self.heads, size, size, dtype=wide(x.dtype), device=x.device)
    r, log_w, k, v, *delta = (y.to(wide(x.dtype)) for y in context.hide(*operands))
    o, state = wkv(r, log_w, k, v, state, *delta)
    context.carry(self.layer, 'wkv', state)
    return o

  def output(self, o, x, scale):
    """o [B,T,H,D], the gate's input x [B,T,C]."""
    o = self.ln_x(o) if self.config.groupnorm_att else o.flatten(-2) * scale
    if self.config.gate_rank_type == 1:
      o = o * torch.sigmoid(self.gate(x).to(o.dtype))
    elif self.config.gate_rank_type == 2:
      o = o * (torch.sigmoid(x @ self.g1) @ self.g2).to(o.dtype)
    return self.o_proj(o.to(x.dtype))


class RadRwkv6(Recurrent):

  def __init__(self, config, layer):
    super().__init__(config, layer)
    width, attention = config.hidden_size, self.heads * config.head_dim
    if config.use_tokenshift:
      for name in 'xrkvwg':
        setattr(self, 'time_maa_' + name, nn.Parameter(torch.empty(1, 1, width)))
      self.time_maa_w1 = nn.Parameter(torch.empty(width, 5 * config.lora_rank_tokenshift))
      self.time_maa_w2 = nn.Parameter(torch.empty(5, config.lora_rank_tokenshift, width))
    self.time_decay = nn.Parameter(torch.empty(1, 1, attention))
    self.time_decay_w1 = nn.Parameter(torch.empty(width, config.lora_rank_decay))
    self.time_decay_w2 = nn.Parameter(torch.empty(config.lora_rank_decay, attention))

  def token_before(self, x, context):
    """x [B,T,C] one token later; padding is passed over."""
    first = context.carried(self.layer, 'shift')
    first = torch.zeros_like(x[:, :1]) if first is None else first[:, None].to(x.dtype)
    longer = torch.cat([first, x], 1)  # entry t + 1 is token t
    if context.mask is None:
      context.carry(self.layer, 'shift', x[:, -1])
      return longer[:, :-1]
    time = torch.arange(1, x.shape[1] + 1, device=x.device)
    newest = torch.where(context.mask, time, 0).cummax(1).values  # [B,T]
    newest = F.pad(newest, (1, 0))[..., None].expand(-1, -1, x.shape[2])
    longer = longer.gather(1, newest)
    context.carry(self.layer, 'shift', longer[:, -1])
    return longer[:, :-1]

  def shift(self, x, context):
    """The inputs of r, k, v, w and g."""
    if not self.config.use_tokenshift:
      return (x,) * 5
    delta = self.token_before(x, context) - x
    low = torch.tanh((x + delta * self.time_maa_x) @ self.time_maa_w1)
    amounts = torch.einsum('btzr,zrc->zbtc', low.unflatten(-1, (5, -1)), self.time_maa_w2)
    return tuple(x + delta * (getattr(self, 'time_maa_' + name) + amounts[i]) for i, name in enumerate('rkvwg'))

  def forward(self, x, context):
    xr, xk, xv, xw, xg = self.shift(x, context)
    q, k, v = self.project(xr, xk, xv, context, self.config.use_rope)
    k, v = self.expand(k).to(wide(x.dtype)), self.expand(v)
    decay = self.time_decay.to(k.dtype) + (torch.tanh(xw @ self.time_decay_w1) @ self.time_decay_w2).to(k.dtype)
    log_w = (-decay.exp()).clamp_min(MIN_LOG_DECAY).view(k.shape)
    if self.config.balance_state:
      k = k * (1 - log_w.exp())
    o = self.recur(x, context, q.to(k.dtype) * self.config.head_dim**-0.5, log_w, k, v)
    return self.output(o, xg, scale=1)


class RadRwkv7(Recurrent):

  def __init__(self, config, layer):
    super().__init__(config, layer)
    width, attention = config.hidden_size, self.heads * config.head_dim
    ranks = {'w': config.lora_rank_decay, 'a': config.lora_rank_iclr, 'v': config.lora_rank_value_residual_mix}
    for name, rank in ranks.items():
      setattr(self, name + '0', nn.Parameter(torch.empty(1, 1, attention)))
      setattr(self, name + '1', nn.Parameter(torch.empty(width, rank)))
      setattr(self, name + '2', nn.Parameter(torch.empty(rank, attention)))
    self.k_k = nn.Parameter(torch.empty(1, 1, attention))
    self.k_a = nn.Parameter(torch.empty(1, 1, attention))
    self.r_k = nn.Parameter(torch.empty(self.heads, config.head_dim))  # published with the models, used by none

  def forward(self, x, context):
    dtype = wide(x.dtype)
    q, k, v = self.project(x, x, x, context, self.config.use_rope)
    q, k, v = q.to(dtype), self.expand(k).to(dtype), self.expand(v).to(dtype)
    head = lambda y: y.to(dtype).unflatten(-1, (self.heads, -1))
    log_w = -math.exp(-0.5) * torch.sigmoid(head(self.w0) + head(torch.tanh(x @ self.w1) @ self.w2))
    iclr = torch.sigmoid(head(self.a0) + head((x @ self.a1) @ self.a2))
    if self.config.balance_state:
      kk = F.normalize(k, dim=-1, eps=1e-12)
      k = k * (1 - log_w.exp() + iclr)
    else:
      kk = F.normalize(k * head(self.k_k), dim=-1, eps=1e-12)
      k = k * (1 + (iclr - 1) * head(self.k_a))
    if context.v_first is None:
      context.v_first = v
    else:
      v = v + (context.v_first - v) * torch.sigmoid(head(self.v0) + head((x @ self.v1) @ self.v2))
    o = self.recur(x, context, q, log_w, k, v, -kk, kk * iclr)
    return self.output(o, x, self.config.head_dim**-0.5)


class Mlp(nn.Module):

  def __init__(self, config):
    super().__init__()
    width, inner = config.hidden_size, config.intermediate_size
    self.gate_proj = nn.Linear(width, inner, bias=False)
    self.up_proj = nn.Linear(width, inner, bias=False)
    self.down_proj = nn.Linear(inner, width, bias=False)

  def forward(self, x):
    return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
