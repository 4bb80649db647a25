#include "tools/conversation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "base/status.h"
#include "model/testing.h"

namespace radlads {
namespace {

// A tokenizer for the 97 words of SmallModel: printable ASCII byte by byte, so that any ids are the encoding of their
// text,
// <|stop|> and one word more; a chat template that writes one mark for each turn.
constexpr char kTemplate[] =
    "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}<|stop|>{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

std::string TokenizerJson() {
  std::string vocabulary;
  for (int byte = 33; byte < 127; ++byte) {
    std::string spelled(1, static_cast<char>(byte));
    if (byte == '"' || byte == '\\') spelled = "\\" + spelled;
    vocabulary += "\"" + spelled + "\":" + std::to_string(byte - 32) + ",";
  }
  vocabulary += "\"\xC4\xA0\":0";  // the space
  return R"({"added_tokens":[{"id":95,"content":"<|stop|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},)"
         R"({"id":96,"content":"<|word|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":false}],)"
         R"("normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},)"
         R"("post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},)"
         R"("model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,)"
         R"("byte_fallback":false,"ignore_merges":false,"vocab":{)" +
         vocabulary + R"(},"merges":[]}})";
}

class ConversationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string directory = ::testing::TempDir() + "/tokenizer";
    ASSERT_TRUE(MakeDirectories(directory).ok());
    ASSERT_TRUE(WriteFileAtomically(directory + "/tokenizer.json", TokenizerJson()).ok());
    ASSERT_TRUE(WriteFileAtomically(directory + "/tokenizer_config.json", R"({"eos_token":"<|stop|>"})").ok());
    ASSERT_TRUE(WriteFileAtomically(directory + "/chat_template.jinja", kTemplate).ok());
    auto tokenizer = Tokenizer::Load(directory);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *tokenizer;
    model_ = SmallModel("rad_rwkv7", at::kDouble);
    options_.max_tokens = 12;
  }

  // The answer to the whole text read at once, by a model without a past.
  std::vector<int64_t> AnswerTo(const std::string& text) {
    std::vector<int64_t> ids;
    for (int32_t id : tokenizer_->Encode(text)) ids.push_back(id);
    GenerateOptions options = options_;
    options.stop_ids = {95};
    auto result = Generate(*model_, ids, options);
    RADLADS_CHECK(result.ok()) << result.status();
    return result->tokens;
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<Transformer> model_;
  GenerateOptions options_;
};

TEST_F(ConversationTest, TurnsReadOnlyWhatIsNewAndAnswerAsTheWhole) {
  Conversation conversation(*model_, tokenizer_, options_);
  conversation.SetSystem("be brief");
  std::string text = "s:be brief<|stop|>";
  for (const std::string message : {"hello", "how are you?", "why"}) {
    std::string streamed;
    auto answer = conversation.Say(message, [&](std::string_view piece) {
      streamed += piece;
      return absl::OkStatus();
    });
    ASSERT_TRUE(answer.ok()) << answer.status();
    text += "u:" + message + "<|stop|>a:";
    EXPECT_EQ(answer->result.tokens, AnswerTo(text)) << message;
    EXPECT_EQ(streamed, answer->text);
    text += answer->text + "<|stop|>";
    // Two marks, the message, and what ends the turns before and in between.
    EXPECT_LE(answer->prompt_tokens, static_cast<int64_t>(message.size()) + 30);
  }
}

TEST_F(ConversationTest, ContinuedTextIsTheTextContinued) {
  options_.max_tokens = 5;
  Conversation conversation(*model_, tokenizer_, options_);
  auto first = conversation.Continue("once upon");
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = conversation.Continue(" a time");
  ASSERT_TRUE(second.ok()) << second.status();
  if (!first->result.stopped) {
    EXPECT_EQ(second->result.tokens, AnswerTo("once upon" + first->text + " a time"));
  }
}

TEST_F(ConversationTest, TokenizerWithoutTemplateIsNamed) {
  auto plain = Tokenizer::FromJson(TokenizerJson(), "plain");
  ASSERT_TRUE(plain.ok()) << plain.status();
  Conversation conversation(*model_, *plain, options_);
  EXPECT_EQ(conversation.Say("hello").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(conversation.Continue("hello").ok());
}

}  // namespace
}  // namespace radlads
