// Conversations of which only the tokens are kept: the next turn, and the turns that were.
#ifndef RADLADS_SERVE_TRANSPORT_CHAT_TURNS_H_
#define RADLADS_SERVE_TRANSPORT_CHAT_TURNS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/chat_template.h"
#include "data/tokenizer/tokenizer.h"
#include "serve/text_service.h"
#include "serve/transport/chat_text.h"
#include "serve/transport/served_model.h"

namespace radlads {

// What a conversation that ends with a reply goes on with.
struct NextTurn {
  std::vector<int64_t> ids;
  int64_t reply_end = 0;  // as of TextRequest
};

// What the chat template puts after a reply, then `messages`, then what `options` say, most often the beginning of the
// next reply. The text before and these ids together are what the template makes of the whole conversation.
// INVALID_ARGUMENT for a template that would write earlier turns anew, besides the errors of ChatText and CheckChat.
absl::StatusOr<NextTurn> ContinueChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                      const ChatOptions& options = {});

// Makes `messages` the prompt of `text`: a whole conversation, or the next turn where the text goes on from one. None
// at all goes on with a reply that was cut. Errors of RenderChat and ContinueChat; NOT_FOUND for a session that there
// is not.
absl::Status SetChatPrompt(std::span<const ChatMessage> messages, const ServedModel& model, const ChatOptions& options,
                           TextRequest* text);

struct ChatTurn {
  ChatMessage message;
  int64_t tokens = 0;      // of the text up to its end
  bool continues = false;  // it began before the part of the text that was looked at
};

// The turns that a text of tokens is made of: a system message if there is one, then user and assistant in turn. Empty
// where it is no such conversation. For people to look at: a message that spells the marks of the template counts as
// several. `ids` may be a part of the text, from its token `first` on; empty too where no turn ends in it.
std::vector<ChatTurn> SplitChat(std::span<const int64_t> ids, const Tokenizer& tokenizer, int64_t first = 0);

// The place where a part of a text can begin so that it splits neither a character nor a turn from what the template
// writes before it: `place` tokens into `ids`, or a few before. `ids` need be no more than some dozen tokens around it.
int64_t PartBegin(std::span<const int64_t> ids, int64_t place, const Tokenizer& tokenizer);

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_CHAT_TURNS_H_
