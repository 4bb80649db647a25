#!/usr/bin/env python3
"""Writes the GGUF files beside this script. Needs numpy and gguf 0.19.

quants.gguf         one tensor [3,512] of every type that is read
quants.safetensors  the same, decoded to F32 by gguf-py
tiny_llama.gguf     ../../testdata/tiny_hf/llama with q and k in the row order of llama.cpp, and a small tokenizer
split/              a layer of qwen2 with a head of its own, in three parts; its tokenizer has control tokens in front of the
                    vocabulary, puts BOS and EOS around a text, and has three tokens that end a text and two chat templates
"""
import json, os, struct
import numpy as np
import gguf
from gguf import GGMLQuantizationType as Type

HERE = os.path.dirname(os.path.abspath(__file__))
SIMPLE = [Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1]
SUPER = {Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,)}  # offsets of the fp16 scales in a block


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, array in sorted(tensors.items()):
        raw = np.ascontiguousarray(array, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    raw = open(path, "rb").read()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8:8 + length])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(raw[8 + length:][slice(*t["data_offsets"])], {"F16": np.float16}[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items()}


def quants():
    rng = np.random.default_rng(7)
    writer, expected = gguf.GGUFWriter(f"{HERE}/quants.gguf", "none"), {}
    values = rng.standard_normal((3, 512)).astype(np.float32)
    for kind in SIMPLE:
        raw = gguf.quantize(values, kind)
        writer.add_tensor(kind.name, raw, raw_dtype=kind)
        expected[kind.name] = gguf.dequantize(raw, kind)
    for kind, scales in SUPER.items():  # gguf-py decodes these but does not encode them: random bits
        block, size = gguf.GGML_QUANT_SIZES[kind]
        raw = rng.integers(0, 256, (3, 512 // block, size), np.uint8)
        for offset in scales:
            half = rng.standard_normal((3, 512 // block, 1)).astype(np.float16)
            raw[:, :, offset:offset + 2] = half.view(np.uint8)
        raw = raw.reshape(3, -1)
        writer.add_tensor(kind.name, raw, raw_dtype=kind)
        expected[kind.name] = gguf.dequantize(raw, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_safetensors(f"{HERE}/quants.safetensors", expected)


def byte_symbols():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in keep] + [chr(256 + i) for i in range(256 - len(keep))]


def tiny_llama():
    source = f"{HERE}/../../testdata/tiny_hf/llama"
    config = json.load(open(f"{source}/config_legacy.json"))
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    w = gguf.GGUFWriter(f"{HERE}/tiny_llama.gguf", "llama")
    w.add_name("tiny llama")
    w.add_block_count(config["num_hidden_layers"])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_rope_freq_base(config["rope_theta"])
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_vocab_size(config["vocab_size"])
    w.add_rope_dimension_count(config["head_dim"])

    symbols = byte_symbols()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merges = [f"{a} {b}" for a in "aeiou" for b in "nrstl"]
    tokens = specials + symbols + [m.replace(" ", "") for m in merges]
    types = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3)
    while len(tokens) < config["vocab_size"]:
        tokens.append(f"[PAD{len(tokens)}]")
        types.append(gguf.TokenType.UNUSED)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(0)
    w.add_eos_token_id(1)
    w.add_pad_token_id(2)
    w.add_add_bos_token(False)
    w.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, tensor in read_safetensors(f"{source}/model.safetensors").items():
        n = heads if ".q_proj." in name else kv if ".k_proj." in name else 0
        if n:
            tensor = tensor.reshape(n, 2, tensor.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(tensor.shape)
        if tensor.ndim == 1:
            tensor = tensor.astype(np.float32)
        w.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(tensor))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def split():
    width, symbols = 32, byte_symbols()
    tokens = ["<s>", "</s>", "<|eot_id|>", "<|eom_id|>"] + symbols + ["ab"]
    w = gguf.GGUFWriter(f"{HERE}/split/tiny.gguf", "qwen2", split_max_tensors=6)
    w.add_block_count(1)
    w.add_context_length(64)
    w.add_embedding_length(width)
    w.add_feed_forward_length(width)
    w.add_head_count(2)
    w.add_head_count_kv(2)
    w.add_rope_freq_base(10000.0)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("deepseek-r1-qwen")
    w.add_token_list(tokens)
    w.add_token_types([gguf.TokenType.CONTROL] * 4 + [gguf.TokenType.NORMAL] * (len(tokens) - 4))
    w.add_token_merges(["a b"])
    w.add_bos_token_id(0)
    w.add_eos_token_id(1)
    w.add_eot_token_id(2)
    w.add_eom_token_id(3)
    w.add_add_bos_token(True)
    w.add_add_eos_token(True)
    w.add_chat_template([{"name": "default", "template": "D{{ messages[0].content }}"}, {"name": "tool_use", "template": "U"}])
    rng = np.random.default_rng(5)
    square, bias = [width, width], [width]
    shapes = {"token_embd.weight": [len(tokens), width], "output_norm.weight": bias, "output.weight": [len(tokens), width]}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        shapes[f"blk.0.{name}.weight"] = square
    for name in ("attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_norm.weight", "ffn_norm.weight"):
        shapes[f"blk.0.{name}"] = bias
    shapes["output.weight"] = shapes.pop("output.weight")  # in the last part
    for name, shape in shapes.items():
        values = rng.standard_normal(shape).astype(np.float32)
        w.add_tensor(name, values if len(shape) == 1 else values.astype(np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    quants()
    tiny_llama()
    split()
