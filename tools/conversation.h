// A chat with a model, turn by turn: each turn reads only what is new, and the state carries the rest.
#ifndef RADLADS_TOOLS_CONVERSATION_H_
#define RADLADS_TOOLS_CONVERSATION_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/chat_template.h"
#include "data/tokenizer/tokenizer.h"
#include "model/generate.h"
#include "model/state.h"
#include "model/transformer.h"

namespace radlads {

// Pieces of an answer as they become certain, well-formed UTF-8 each. An error (the text finds no room, say) ends the
// answer, and is the error of the turn.
using OnText = std::function<absl::Status(std::string_view text)>;

struct Answer {
  std::string text;
  int64_t prompt_tokens = 0;  // read for this answer
  GenerateResult result;
};

class Conversation {
 public:
  // `model` and `tokenizer` must outlive the object. `options.stop_ids` is extended by what the tokenizer stops at.
  // With a seed, turn n draws from seed + n.
  Conversation(Transformer& model, std::shared_ptr<const Tokenizer> tokenizer, GenerateOptions options);

  // Only before the first turn.
  void SetSystem(const std::string& text);

  // One turn: `text` by the user, then the model's answer. FAILED_PRECONDITION when the tokenizer has no chat
  // template; errors of ApplyChatTemplate and Generate.
  absl::StatusOr<Answer> Say(const std::string& text, const OnText& on_text = {});

  // Continues plain text, without template; what came before stays in the state.
  absl::StatusOr<Answer> Continue(const std::string& text, const OnText& on_text = {});

 private:
  absl::StatusOr<Answer> Run(const std::vector<int64_t>& ids, const OnText& on_text);

  Transformer& model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  GenerateOptions options_;
  std::vector<ChatMessage> messages_;
  std::string rendered_;  // the template's text up to and with the last answer
  ModelState state_;      // has read `rendered_` but for `unread_`
  int64_t unread_ = -1;
  bool stopped_ = false;
};

}  // namespace radlads

#endif  // RADLADS_TOOLS_CONVERSATION_H_
