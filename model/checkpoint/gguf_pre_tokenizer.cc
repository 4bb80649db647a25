#include "model/checkpoint/gguf_pre_tokenizer.h"

#include <algorithm>

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

enum class Rules { kSmollm, kGpt2, kQwen2, kLlama3 };

struct Name {
  std::string_view name;
  Rules rules;
  bool ignore_merges = false, add_bos = false;
};

// Those that are written, then others that llama.cpp treats alike (its llama-vocab.cpp): the same expression, which is also
// that of the published tokenizer.json.
constexpr Name kNames[] = {
    {"smollm", Rules::kSmollm},
    {"gpt-2", Rules::kGpt2},
    {"qwen2", Rules::kQwen2},
    {"llama-bpe", Rules::kLlama3, true, true},
    {"smaug-bpe", Rules::kLlama3},
    {"starcoder", Rules::kSmollm},
    {"refact", Rules::kSmollm},
    {"phi-2", Rules::kGpt2},
    {"deepseek-r1-qwen", Rules::kQwen2},
    {"megrez", Rules::kQwen2},
    {"llama3", Rules::kLlama3, true, true},
    {"llama-v3", Rules::kLlama3, true, true},
    {"falcon3", Rules::kLlama3, true, true},
    {"dbrx", Rules::kLlama3},
};

PreTokenizer Make(const Name& name) {
  using Kind = PreTokenizerStep::Kind;
  PreTokenizer pre;
  switch (name.rules) {
    case Rules::kSmollm:
      pre.pre_tokenizer = Sequence({{"type", "Digits"}, {"individual_digits", true}});
      pre.pre_tokenizer["pretokenizers"].push_back(ByteLevel(false, true, true));
      pre.steps = {{Kind::kDigits, SplitPattern::kGpt2, true}, {Kind::kSplit, SplitPattern::kGpt2}};
      break;
    case Rules::kGpt2:
      pre.pre_tokenizer = ByteLevel(false, true, true);
      pre.steps = {{Kind::kSplit, SplitPattern::kGpt2}};
      break;
    case Rules::kQwen2:
      pre.normalizer = {{"type", "NFC"}};
      pre.nfc = true;
      pre.pre_tokenizer = SplitThenByteLevel(kQwen2Pattern);
      pre.steps = {{Kind::kSplit, SplitPattern::kQwen2}};
      pre.special_tokens_in_vocab = false;
      break;
    case Rules::kLlama3:
      pre.pre_tokenizer = SplitThenByteLevel(kLlama3Pattern);
      pre.steps = {{Kind::kSplit, SplitPattern::kLlama3}};
      pre.special_tokens_in_vocab = false;
      break;
  }
  pre.ignore_merges = name.ignore_merges;
  pre.add_bos = name.add_bos;
  return pre;
}

bool AreSame(const PreTokenizerStep& a, const PreTokenizerStep& b) {
  if (a.kind != b.kind) return false;
  return a.kind == PreTokenizerStep::Kind::kSplit ? a.pattern == b.pattern : a.individual_digits == b.individual_digits;
}

}  // namespace

std::optional<PreTokenizer> FindPreTokenizer(std::string_view name) {
  for (const Name& known : kNames) {
    if (known.name == name) return Make(known);
  }
  return std::nullopt;
}

std::string KnownPreTokenizers() {
  std::string names;
  for (const Name& known : kNames) names += (names.empty() ? "" : ", ") + std::string(known.name);
  return names;
}

std::optional<std::string_view> PreTokenizerName(const TokenizerSpec& spec) {
  for (const Name& known : kNames) {
    const PreTokenizer pre = Make(known);
    if (pre.nfc == spec.nfc && pre.ignore_merges == spec.ignore_merges &&
        std::equal(pre.steps.begin(), pre.steps.end(), spec.pre_tokenizer.begin(), spec.pre_tokenizer.end(), AreSame)) {
      return known.name;
    }
  }
  return std::nullopt;
}

ordered_json ByteLevelDecoder() { return ByteLevel(true, true, true); }

}  // namespace radlads::gguf
