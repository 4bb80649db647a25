#include "eval/tasks/requests.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "eval/tasks/python_random.h"
#include "eval/tasks/python_text.h"

namespace radlads {
namespace {

absl::StatusOr<std::string> AsText(const JinjaValue& value, const char* field) {
  if (value.is_string()) return value.as_string();
  return InvalidArgument(field, " gives a ", value.type_name(), ", expected a str");
}

// choices[index] of Python.
absl::StatusOr<std::string> Pick(const std::vector<std::string>& choices, const JinjaValue& index, const char* field) {
  if (!index.is_number()) return InvalidArgument(field, " gives a ", index.type_name(), ", expected the index of a choice");
  const auto size = static_cast<int64_t>(choices.size());
  const int64_t at = index.as_number() < 0 ? index.as_number() + size : index.as_number();
  if (at >= 0 && at < size) return choices[at];
  return InvalidArgument(field, " gives choice ", index.as_number(), ", but there are ", size);
}

class Builder {
 public:
  Builder(const Task& task, const RequestOptions& options)
      : task_(task), config_(task.config()), shots_(config_.num_fewshot), random_(options.fewshot_seed) {}

  absl::Status Add(int64_t index, std::vector<TaskRequest>* requests) {
    const Document& document = task_.documents()[index];
    RADLADS_ASSIGN_OR_RETURN(std::string before, task_.Description(document));
    RADLADS_ASSIGN_OR_RETURN(const std::vector<const Document*> examples, Examples(document));
    for (const Document* example : examples) {
      RADLADS_ASSIGN_OR_RETURN(const std::string text, Example(*example));
      before += text;
    }
    RADLADS_ASSIGN_OR_RETURN(const JinjaValue question, task_.Text(document));
    RADLADS_ASSIGN_OR_RETURN(const JinjaValue target, task_.Target(document));
    std::vector<std::string> choices;
    if (config_.output_type == OutputType::kMultipleChoice) {
      RADLADS_ASSIGN_OR_RETURN(choices, task_.Choices(document));
    }
    if (task_.multiple_input()) {
      RADLADS_ASSIGN_OR_RETURN(const std::string end, target.Print());
      for (const std::string& choice : choices) {
        requests->push_back({index, before + choice, config_.target_delimiter + end});
      }
    } else {
      RADLADS_ASSIGN_OR_RETURN(const std::string text, AsText(question, "doc_to_text"));
      const std::string context = before + text;
      if (config_.output_type == OutputType::kMultipleChoice) {
        for (const std::string& choice : choices)
          requests->push_back({index, context, config_.target_delimiter + choice});
      } else if (config_.output_type == OutputType::kGenerateUntil) {
        requests->push_back({index, context, ""});
      } else {
        RADLADS_ASSIGN_OR_RETURN(const std::string end, AsText(target, "doc_to_target"));
        const bool rolling = config_.output_type == OutputType::kLoglikelihoodRolling;
        requests->push_back({index, rolling ? "" : context, end});
      }
    }
    if (config_.HasMetric("acc_mutual_info")) {
      for (const std::string& choice : choices) requests->push_back({index, "", config_.target_delimiter + choice});
    }
    return absl::OkStatus();
  }

 private:
  // ContextSampler.sample and FirstNSampler.sample of lm_eval.
  absl::StatusOr<std::vector<const Document*>> Examples(const Document& document) {
    std::vector<const Document*> pool, picked;
    if (shots_ == 0) return picked;
    for (const Document& example : task_.fewshot_documents()) pool.push_back(&example);
    // The document itself is no example where examples come from the split that is evaluated.
    const bool exclude = config_.fewshot_split == config_.test_split;
    const JinjaValue self{Document(document)};
    const auto is_self = [&](const Document* other) { return exclude && JinjaValue(*other).Equals(self); };
    const auto draw = [&](int64_t count) -> absl::Status {
      const auto size = static_cast<int64_t>(pool.size());
      if (count > size) return InvalidArgument(count, " few-shot examples are to be drawn from ", size, " documents");
      for (const uint32_t i : random_.Sample(size, count)) {
        if (!is_self(pool[i])) picked.push_back(pool[i]);
      }
      return absl::OkStatus();
    };
    if (config_.fewshot_first_n) {
      std::copy_if(pool.begin(), pool.end(), std::back_inserter(picked), [&](auto* other) { return !is_self(other); });
    } else {
      RADLADS_RETURN_IF_ERROR(draw(shots_ + exclude));
      if (static_cast<int64_t>(picked.size()) < shots_) {  // the document is there more than once
        pool.erase(std::remove_if(pool.begin(), pool.end(), is_self), pool.end());
        picked.clear();
        RADLADS_RETURN_IF_ERROR(draw(shots_));
      }
    }
    if (static_cast<int64_t>(picked.size()) < shots_) {
      return InvalidArgument(shots_, " few-shot examples are wanted, but there are ", picked.size());
    }
    picked.resize(shots_);
    return picked;
  }

  absl::StatusOr<std::string> Example(const Document& document) const {
    RADLADS_ASSIGN_OR_RETURN(JinjaValue question, task_.Text(document));
    RADLADS_ASSIGN_OR_RETURN(JinjaValue answer, task_.Target(document));
    std::vector<std::string> choices;
    if (!config_.doc_to_choice.is_none()) {
      RADLADS_ASSIGN_OR_RETURN(choices, task_.Choices(document));
    }
    if (task_.multiple_input()) {
      RADLADS_ASSIGN_OR_RETURN(std::string text, Pick(choices, question, "doc_to_text"));
      question = JinjaValue(std::move(text));
    } else if (answer.is_number() && !choices.empty()) {
      RADLADS_ASSIGN_OR_RETURN(std::string text, Pick(choices, answer, "doc_to_target"));
      answer = JinjaValue(std::move(text));
    }
    if (answer.is_list() && !answer.as_list().empty()) answer = JinjaValue(answer.as_list().front());
    if (answer.is_none()) return AsText(question, "doc_to_text");
    RADLADS_ASSIGN_OR_RETURN(const std::string before, AsText(question, "doc_to_text"));
    RADLADS_ASSIGN_OR_RETURN(const std::string after, AsText(answer, "doc_to_target"));
    if (after.empty()) return before;
    return before + config_.target_delimiter + after + config_.fewshot_delimiter;
  }

  const Task& task_;
  const TaskConfig& config_;
  const int64_t shots_;
  PythonRandom random_;
};

}  // namespace

absl::StatusOr<std::vector<TaskRequest>> BuildRequests(const Task& task, const RequestOptions& options) {
  const auto all = static_cast<int64_t>(task.documents().size());
  const int64_t count = options.limit > 0 ? std::min(options.limit, all) : all;
  std::vector<TaskRequest> requests;
  Builder builder(task, options);
  for (int64_t i = 0; i < count; ++i) {
    const absl::Status status = builder.Add(i, &requests);
    if (!status.ok()) return Annotate(status, Concatenate(task.config().path, ": document ", i));
  }
  return requests;
}

RequestEncoder::RequestEncoder(const Tokenizer& tokenizer, int64_t prefix_token)
    : encoder_(tokenizer.NewEncoder()),
      prefix_(tokenizer.BytesOf(static_cast<int32_t>(prefix_token)).value_or(std::string_view())) {}

std::vector<int64_t> RequestEncoder::Encode(const std::string& text, bool add_special_tokens) {
  ids_.clear();
  encoder_.EncodeTo(text, &ids_, add_special_tokens);
  return {ids_.begin(), ids_.end()};
}

std::vector<int64_t> RequestEncoder::Encode(const std::string& text) {
  return Encode(text, !text.starts_with(prefix_));
}

TokenPair RequestEncoder::EncodePair(const std::string& context, const std::string& continuation) {
  if (context.empty()) return {{}, Encode(continuation, false)};
  const std::string trimmed(WithoutTrailingSpace(context));
  const std::vector<int64_t> whole = Encode(context + continuation);
  TokenPair pair{Encode(trimmed), {}};
  if (pair.context.size() < whole.size()) pair.continuation.assign(whole.begin() + pair.context.size(), whole.end());
  return pair;
}

}  // namespace radlads
