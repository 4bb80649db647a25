#include "model/checkpoint/gguf_pre_tokenizer.h"

namespace radlads::gguf {
namespace {

using nlohmann::ordered_json;

constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kLlama3Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

ordered_json ByteLevel(bool add_prefix_space, bool trim_offsets, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", trim_offsets}, {"use_regex", use_regex}};
}

ordered_json Sequence(ordered_json first) {
  return {{"type", "Sequence"}, {"pretokenizers", ordered_json::array({std::move(first)})}};
}

ordered_json SplitThenByteLevel(const char* pattern) {
  ordered_json sequence = Sequence({{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  sequence["pretokenizers"].push_back(ByteLevel(false, false, false));
  return sequence;
}

}  // namespace

std::optional<PreTokenizer> FindPreTokenizer(std::string_view name) {
  PreTokenizer pre;
  if (name == "smollm") {
    pre.pre_tokenizer = Sequence({{"type", "Digits"}, {"individual_digits", true}});
    pre.pre_tokenizer["pretokenizers"].push_back(ByteLevel(false, true, true));
  } else if (name == "gpt-2") {
    pre.pre_tokenizer = ByteLevel(false, true, true);
  } else if (name == "qwen2") {
    pre.normalizer = {{"type", "NFC"}};
    pre.pre_tokenizer = SplitThenByteLevel(kQwen2Pattern);
    pre.special_tokens_in_vocab = false;
  } else if (name == "llama-bpe") {
    pre.pre_tokenizer = SplitThenByteLevel(kLlama3Pattern);
    pre.ignore_merges = true;
    pre.special_tokens_in_vocab = false;
    pre.add_bos = true;
  } else {
    return std::nullopt;
  }
  return pre;
}

ordered_json ByteLevelDecoder() { return ByteLevel(true, true, true); }

}  // namespace radlads::gguf
