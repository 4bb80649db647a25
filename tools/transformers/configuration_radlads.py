"""config.json of RAD-RWKV6, RAD-RWKV7 and hybrids of them with softmax attention (arXiv 2505.03005)."""
from transformers import PretrainedConfig


class RadladsConfig(PretrainedConfig):
  """Keys as the published models have them; a missing one has the value that radlads' own reader gives it."""
  keys_to_ignore_at_inference = ['past_key_values']

  def __init__(self, vocab_size=0, hidden_size=0, intermediate_size=0, num_hidden_layers=0, num_attention_heads=1,
               num_key_value_heads=None, head_dim=None, rms_norm_eps=1e-6, max_position_embeddings=None,
               attention_bias=True, qk_norm=False, use_cache=True, initializer_range=0.02, tie_word_embeddings=False,
               gate_rank_type=None, lora_rank_gate=0, lora_rank_tokenshift=0, lora_rank_decay=0, lora_rank_iclr=0,
               lora_rank_value_residual_mix=0, use_rope=False, balance_state=True, groupnorm_att=False,
               use_tokenshift=None, num_attention_layers=0, tmix=None, tmix2=None, inv_other_layer_ratio=1,
               rope_theta=None, rope_scaling=None, rope_parameters=None, **kwargs):
    is_rwkv6 = self.model_type == 'rwkv6qwen2'
    self.vocab_size = vocab_size
    self.hidden_size = hidden_size
    self.intermediate_size = intermediate_size
    self.num_hidden_layers = num_hidden_layers
    self.num_attention_heads = num_attention_heads
    self.num_key_value_heads = num_key_value_heads or num_attention_heads
    self.head_dim = head_dim or hidden_size // num_attention_heads
    self.rms_norm_eps = rms_norm_eps
    self.max_position_embeddings = max_position_embeddings
    self.attention_bias = attention_bias
    self.qk_norm = qk_norm
    self.use_cache = use_cache
    self.initializer_range = initializer_range
    self.gate_rank_type = (1 if is_rwkv6 else 2) if gate_rank_type is None else gate_rank_type
    self.lora_rank_gate = lora_rank_gate
    self.lora_rank_tokenshift = lora_rank_tokenshift
    self.lora_rank_decay = lora_rank_decay
    self.lora_rank_iclr = lora_rank_iclr
    self.lora_rank_value_residual_mix = lora_rank_value_residual_mix
    self.use_rope = use_rope
    self.balance_state = balance_state
    self.groupnorm_att = groupnorm_att
    self.use_tokenshift = is_rwkv6 if use_tokenshift is None else use_tokenshift
    self.num_attention_layers = num_attention_layers
    self.tmix = tmix or ('rad_rwkv6' if is_rwkv6 else 'rad_rwkv7')
    self.tmix2 = tmix2
    self.inv_other_layer_ratio = inv_other_layer_ratio
    # transformers 4 writes rope_theta and rope_scaling, 5 one rope_parameters.
    self.rope_parameters = {'rope_type': 'default', **(rope_scaling or {}), **(rope_parameters or {})}
    if rope_theta is not None:
      self.rope_parameters['rope_theta'] = rope_theta
    super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)
    self.tie_word_embeddings = tie_word_embeddings

  def time_mixers(self):
    """The mixer of each layer: rad_rwkv6, rad_rwkv7 or softmax."""
    layers, kept, ratio = self.num_hidden_layers, self.num_attention_layers or 0, self.inv_other_layer_ratio or 1
    second = int(layers * (ratio - 1) / ratio) - kept
    names = []
    for layer in range(layers):
      if layer >= layers - kept:
        name = 'softmax'
      else:
        name = self.tmix2 if ratio > 1 and layer >= second else self.tmix
      names.append(name if name in ('rad_rwkv6', 'rad_rwkv7') else 'softmax')
    return names


# transformers 5 makes dataclasses of configs, and an __init__ of its own for those that have none.


class RWKV6Qwen2Config(RadladsConfig):
  model_type = 'rwkv6qwen2'

  def __init__(self, **kwargs):
    super().__init__(**kwargs)


class RWKV7Qwen2Config(RadladsConfig):
  model_type = 'rwkv7qwen2'

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
