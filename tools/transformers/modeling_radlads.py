"""RAD-RWKV6, RAD-RWKV7 and hybrids of them with softmax attention (arXiv 2505.03005), as models of transformers.

Shapes: B batch, T time, S tokens so far, C width, H heads, KV heads of keys and values, D head size.
"""
import torch
import torch.nn.functional as F
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_radlads import RadladsConfig, RWKV6Qwen2Config, RWKV7Qwen2Config
from .mixers_radlads import Attention, Context, Mlp, RadRwkv6, RadRwkv7, RmsNorm, wide


class RadladsCache(Cache):
  """What a model remembers of the tokens before: of constant size, except in softmax layers.

  `layers[i]` is a dict of tensors with the batch first: "wkv" [B,H,D,D], "shift" [B,C], or of a softmax layer "key" and
  "value" [B,KV,S,D]. `positions` [B] counts the tokens of each row, padding left out; `mask` [B,S] says which of the S
  tokens are none, once there was padding. Cannot be cut back to an earlier token.
  """
  is_compileable = False

  def __init__(self, layers):
    self.layers = [{} for _ in range(layers)]
    self.offloading = False
    self.positions = self.mask = None
    self.seen = 0

  def get_seq_length(self, layer_idx=0):
    return self.seen

  def get_max_cache_shape(self, layer_idx=0):
    return None

  def get_max_length(self):
    return None

  def __len__(self):
    return len(self.layers)

  def __repr__(self):
    return f'RadladsCache({len(self.layers)} layers, {self.seen} tokens)'

  def crop(self, *args, **kwargs):
    raise NotImplementedError('a recurrent state cannot go back to an earlier token')

  def reset(self):
    self.__init__(len(self.layers))

  def _map(self, change):
    self.layers = [{name: change(tensor) for name, tensor in layer.items()} for layer in self.layers]
    self.positions = None if self.positions is None else change(self.positions)
    self.mask = None if self.mask is None else change(self.mask)

  def reorder_cache(self, beam_idx):
    self._map(lambda x: x.index_select(0, beam_idx.to(x.device)))

  def batch_select_indices(self, indices):
    self._map(lambda x: x[indices])

  def batch_repeat_interleave(self, repeats):
    self._map(lambda x: x.repeat_interleave(repeats, 0))


class Layer(nn.Module):

  def __init__(self, config, layer, mixer):
    super().__init__()
    kinds = {'softmax': Attention, 'rad_rwkv6': RadRwkv6, 'rad_rwkv7': RadRwkv7}
    self.input_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
    self.self_attn = kinds[mixer](config, layer)
    self.post_attention_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
    self.mlp = Mlp(config)

  def forward(self, x, context):
    x = x + self.self_attn(self.input_layernorm(x), context)
    return x + self.mlp(self.post_attention_layernorm(x))


class RadladsPreTrainedModel(PreTrainedModel):
  config_class = RadladsConfig
  base_model_prefix = 'model'
  _no_split_modules = ['Layer']
  _is_stateful = True  # what was read cannot be taken back: no assisted generation
  _supports_sdpa = True

  def _init_weights(self, module):
    """Of a model that is not loaded: small random matrices, norms of one. Students are born in radlads."""
    for name, parameter in module.named_parameters(recurse=False):
      if parameter.dim() > 1:
        nn.init.normal_(parameter, std=self.config.initializer_range)
      else:
        nn.init.constant_(parameter, 1.0 if name == 'weight' else 0.0)


class RadladsModel(RadladsPreTrainedModel):

  def __init__(self, config):
    super().__init__(config)
    self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
    mixers = config.time_mixers()
    self.layers = nn.ModuleList([Layer(config, i, mixer) for i, mixer in enumerate(mixers)])
    self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)
    self.post_init()

  def get_input_embeddings(self):
    return self.embed_tokens

  def set_input_embeddings(self, value):
    self.embed_tokens = value

  def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None,
              use_cache=None, output_hidden_states=None, return_dict=None, **kwargs):
    """attention_mask [B,T] or [B, tokens before + T]: 0 is padding, on any side. With past_key_values the pass goes on
    after the tokens that it holds, and changes it."""
    if (input_ids is None) == (inputs_embeds is None):
      raise ValueError('either input_ids or inputs_embeds must be given')
    if use_cache is None:
      use_cache = self.config.use_cache and not self.training
    x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
    if past_key_values is None and use_cache:
      past_key_values = RadladsCache(len(self.layers))
    if past_key_values is not None and not isinstance(past_key_values, RadladsCache):
      raise ValueError(f'past_key_values is a {type(past_key_values).__name__}; this model needs a RadladsCache, which it '
                       'makes itself when none is given')
    context = Context(self.config, x, attention_mask, position_ids, past_key_values)
    x = x.to(wide(x.dtype))
    hidden = [x]
    for layer in self.layers:
      x = layer(x, context)
      hidden.append(x)
    x = self.norm(x)
    output = BaseModelOutputWithPast(last_hidden_state=x, past_key_values=past_key_values if use_cache else None,
                                     hidden_states=(*hidden[:-1], x) if output_hidden_states else None)
    return output if return_dict in (None, True) else output.to_tuple()


class RadladsForCausalLM(RadladsPreTrainedModel, GenerationMixin):

  def __init__(self, config):
    super().__init__(config)
    self.model = RadladsModel(config)
    self.vocab_size = config.vocab_size
    # A tied head is the embedding.
    self.lm_head = None if config.tie_word_embeddings else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
    self.post_init()

  def get_input_embeddings(self):
    return self.model.embed_tokens

  def set_input_embeddings(self, value):
    self.model.embed_tokens = value

  def get_output_embeddings(self):
    return self.lm_head

  def set_output_embeddings(self, value):
    self.lm_head = value

  @classmethod
  def _supports_default_dynamic_cache(cls):
    return False

  def prepare_inputs_for_generation(self, input_ids, past_key_values=None, attention_mask=None, inputs_embeds=None,
                                    use_cache=True, logits_to_keep=None, **kwargs):
    inputs = {'past_key_values': past_key_values, 'attention_mask': attention_mask, 'use_cache': use_cache}
    seen = past_key_values.get_seq_length() if past_key_values is not None else 0
    if inputs_embeds is not None and seen == 0:
      inputs['inputs_embeds'] = inputs_embeds
    else:
      # After inputs_embeds, input_ids holds the new tokens only.
      inputs['input_ids'] = input_ids[:, seen:] if input_ids.shape[1] > seen else input_ids[:, -1:]
    if logits_to_keep is not None:
      inputs['logits_to_keep'] = logits_to_keep
    return inputs

  def forward(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, inputs_embeds=None,
              labels=None, use_cache=None, output_hidden_states=None, return_dict=None, logits_to_keep=0, **kwargs):
    """labels [B,T]: as input_ids, -100 where nothing is learned; the loss is that of the next token."""
    output = self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
                        past_key_values=past_key_values, inputs_embeds=inputs_embeds, use_cache=use_cache,
                        output_hidden_states=output_hidden_states)
    hidden = output.last_hidden_state
    if isinstance(logits_to_keep, int):
      hidden = hidden[:, -logits_to_keep:] if logits_to_keep > 0 else hidden
    else:
      hidden = hidden[:, logits_to_keep]
    head = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
    logits = F.linear(hidden, head).to(wide(hidden.dtype))
    loss = None
    if labels is not None:
      targets, tokens = labels[:, 1:].flatten(), kwargs.get('num_items_in_batch')
      loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets, reduction='mean' if tokens is None else 'sum')
      loss = loss if tokens is None else loss / tokens
    output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=output.past_key_values,
                                    hidden_states=output.hidden_states)
    return output if return_dict in (None, True) else output.to_tuple()


class RWKV6Qwen2ForCausalLM(RadladsForCausalLM):
  config_class = RWKV6Qwen2Config


class RWKV7Qwen2ForCausalLM(RadladsForCausalLM):
  config_class = RWKV7Qwen2Config
