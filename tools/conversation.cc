#include "tools/conversation.h"

#include <utility>

#include "base/status.h"
#include "data/tokenizer/stream_decoder.h"

namespace radlads {

Conversation::Conversation(Transformer& model, std::shared_ptr<const Tokenizer> tokenizer, GenerateOptions options)
    : model_(model), tokenizer_(std::move(tokenizer)), options_(std::move(options)) {
  options_.stop_ids.insert(options_.stop_ids.end(), tokenizer_->stop_ids().begin(), tokenizer_->stop_ids().end());
}

void Conversation::SetSystem(const std::string& text) {
  RADLADS_CHECK(messages_.empty()) << "the system message comes first";
  messages_.push_back({"system", text});
}

absl::StatusOr<Answer> Conversation::Say(const std::string& text, const OnText& on_text) {
  messages_.push_back({"user", text});
  RADLADS_ASSIGN_OR_RETURN(const std::string prompt,
                           ApplyChatTemplate(*tokenizer_, messages_, /*add_generation_prompt=*/true));
  std::string fresh = prompt;
  std::vector<int64_t> ids;
  if (!rendered_.empty() && prompt.starts_with(rendered_)) {
    fresh = prompt.substr(rendered_.size());
    // A stop token is part of the text that the template puts after an answer; a token that was cut off is not.
    if (unread_ >= 0 && !stopped_) ids.push_back(unread_);
  } else {
    state_ = ModelState();  // the first turn, or a template that rewrites what was said before
  }
  for (int32_t id : tokenizer_->Encode(fresh)) ids.push_back(id);
  RADLADS_ASSIGN_OR_RETURN(Answer answer, Run(ids, on_text));
  messages_.push_back({"assistant", answer.text});
  rendered_ = prompt + answer.text;
  return answer;
}

absl::StatusOr<Answer> Conversation::Continue(const std::string& text, const OnText& on_text) {
  std::vector<int64_t> ids;
  if (unread_ >= 0) ids.push_back(unread_);
  for (int32_t id : tokenizer_->Encode(text, /*add_special_tokens=*/state_.empty())) ids.push_back(id);
  if (ids.empty() && tokenizer_->bos_id()) ids.push_back(*tokenizer_->bos_id());
  return Run(ids, on_text);
}

absl::StatusOr<Answer> Conversation::Run(const std::vector<int64_t>& ids, const OnText& on_text) {
  Answer answer;
  answer.prompt_tokens = static_cast<int64_t>(ids.size());
  StreamDecoder decoder(tokenizer_, /*skip_special_tokens=*/true);
  absl::Status emitted;
  const auto emit = [&](const std::string& piece) {
    answer.text += piece;
    if (on_text && !piece.empty()) emitted = on_text(piece);
  };
  RADLADS_ASSIGN_OR_RETURN(answer.result, Generate(
                                              model_, ids, options_,
                                              [&](int64_t id) {
                                                auto piece = decoder.Push(static_cast<int32_t>(id));
                                                // An embedding row beyond the vocabulary, which no text stands for.
                                                if (!piece.ok()) emitted = piece.status();
                                                if (piece.ok()) emit(*piece);
                                                return emitted.ok();
                                              },
                                              &state_));
  RADLADS_RETURN_IF_ERROR(emitted);
  emit(decoder.Flush());
  RADLADS_RETURN_IF_ERROR(emitted);
  unread_ = answer.result.unread;
  stopped_ = answer.result.stopped;
  ++options_.sampling.seed;
  return answer;
}

}  // namespace radlads
