#include "eval/needle/prompts.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/status.h"
#include "eval/tasks/python_random.h"

namespace radlads {
namespace {

constexpr const char* kAdjectives[] = {"able",  "brave", "calm",  "dusty",  "eager",  "fancy",  "gentle", "hollow",
                                       "icy",   "jolly", "kind",  "lucky",  "mellow", "narrow", "odd",    "plain",
                                       "quiet", "rapid", "salty", "tender", "upper",  "vivid",  "warm",   "young"};
constexpr const char* kNouns[] = {"anchor", "basket", "candle", "desk",   "engine", "forest", "garden",  "harbor",
                                  "island", "jacket", "kettle", "ladder", "mirror", "needle", "orchard", "pocket",
                                  "quarry", "river",  "saddle", "table",  "uncle",  "valley", "window",  "yard"};

constexpr char kInstruction[] =
    "A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you about the "
    "number afterwards.\n";

std::string Needle(const std::string& key, const std::string& value) {
  return " One of the special magic numbers for " + key + " is: " + value + ".";
}

std::string Question(const std::string& key) {
  return "\nWhat is the special magic number for " + key +
         " mentioned in the provided text? The special magic number for " + key + " mentioned in the provided text is";
}

std::vector<int64_t> Encode(const std::string& text, const Tokenizer& tokenizer) {
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  return {ids.begin(), ids.end()};
}

struct Sample {
  std::string key;
  std::vector<std::string> values;  // the hidden one first
  int64_t start = 0;                // in the haystack
};

std::string DrawValue(PythonRandom& random) {
  return std::to_string(1'000'000 + random.Below(9'000'000));
}

Sample DrawSample(const Haystack& haystack, int64_t choices, uint32_t seed) {
  PythonRandom random(seed);
  Sample sample;
  const std::vector<int64_t>& sentences = haystack.sentences();
  sample.start = sentences[random.Below(static_cast<uint32_t>(sentences.size()))];
  sample.key = kAdjectives[random.Below(std::size(kAdjectives))];
  sample.key += std::string("-") + kNouns[random.Below(std::size(kNouns))];
  while (static_cast<int64_t>(sample.values.size()) < choices) {
    std::string value = DrawValue(random);
    if (std::find(sample.values.begin(), sample.values.end(), value) == sample.values.end())
      sample.values.push_back(std::move(value));
  }
  return sample;
}

absl::Status Check(const NeedleOptions& options) {
  if (options.lengths.empty() || options.depths.empty()) return InvalidArgument("give at least one length and depth");
  if (options.samples < 1) return InvalidArgument("samples must be at least 1, found ", options.samples);
  if (options.choices < 2 || options.choices > 1000)
    return InvalidArgument("choices must be from 2 to 1000, found ", options.choices);
  for (const double depth : options.depths) {
    if (depth >= 0 && depth <= 1) continue;
    return InvalidArgument("a depth must be from 0 (before the haystack) to 1 (after it), found ", depth);
  }
  for (const int64_t length : options.lengths) {
    if (options.context == 0 || length <= options.context) continue;
    return InvalidArgument("a prompt of ", length, " tokens is longer than the model's context of ", options.context,
                           " tokens; choose shorter lengths");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<NeedlePrompt>> MakeNeedlePrompts(const NeedleOptions& options, const Haystack& haystack,
                                                            const Tokenizer& tokenizer) {
  RADLADS_RETURN_IF_ERROR(Check(options));
  // What the tokenizer puts before a text, Llama 3's begin-of-text for one.
  std::vector<int64_t> opening;
  for (const int32_t id : tokenizer.Encode("", /*add_special_tokens=*/true)) opening.push_back(id);
  for (const int64_t id : Encode(kInstruction, tokenizer)) opening.push_back(id);

  std::vector<Sample> samples;
  PythonRandom random(options.seed);
  for (int64_t i = 0; i < options.samples; ++i) {
    samples.push_back(DrawSample(haystack, options.choices, random.Below(UINT32_MAX)));
  }
  std::vector<NeedlePrompt> prompts;
  for (const int64_t length : std::set<int64_t>(options.lengths.begin(), options.lengths.end())) {
    for (const double depth : std::set<double>(options.depths.begin(), options.depths.end())) {
      for (size_t i = 0; i < samples.size(); ++i) {
        const Sample& sample = samples[i];
        const std::vector<int64_t> needle = Encode(Needle(sample.key, sample.values[0]), tokenizer),
                                   question = Encode(Question(sample.key), tokenizer);
        const auto rest = static_cast<int64_t>(opening.size() + needle.size() + question.size());
        const int64_t straw = length - rest;
        if (straw < 1) {
          return InvalidArgument("a prompt of ", length, " tokens has no room for a haystack: instruction, needle and ",
                                 "question are ", rest, " tokens; choose longer lengths");
        }
        const int64_t at =
            depth == 1 ? straw : haystack.PlaceBefore(sample.start, std::llround(depth * static_cast<double>(straw)));
        NeedlePrompt& prompt = prompts.emplace_back();
        prompt.length = length;
        prompt.depth = depth;
        prompt.sample = static_cast<int64_t>(i);
        prompt.key = sample.key;
        prompt.value = sample.values[0];
        prompt.distractors.assign(sample.values.begin() + 1, sample.values.end());
        prompt.needle_at = static_cast<int64_t>(opening.size()) + at;
        prompt.ids = opening;
        const std::vector<int64_t> hay = haystack.Cut(sample.start, straw);
        prompt.ids.insert(prompt.ids.end(), hay.begin(), hay.begin() + at);
        prompt.ids.insert(prompt.ids.end(), needle.begin(), needle.end());
        prompt.ids.insert(prompt.ids.end(), hay.begin() + at, hay.end());
        prompt.ids.insert(prompt.ids.end(), question.begin(), question.end());
      }
    }
  }
  return prompts;
}

std::vector<int64_t> NeedleAnswerIds(const std::string& value, const Tokenizer& tokenizer) {
  return Encode(" " + value, tokenizer);
}

}  // namespace radlads
