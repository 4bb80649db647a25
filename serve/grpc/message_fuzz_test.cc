// Any bytes as a message of a stream, and as what its texts say: texts keep the promises of text_service.h, refusals
// say why, and every text's pieces leave the outbox whole, in order and before its result.
#include <map>
#include <string>

#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "data/tokenizer/utf8.h"
#include "serve/grpc/outbox.h"
#include "serve/grpc/text_messages.h"
#include "serve/testing/fake_text_service.h"

namespace radlads {
namespace {

namespace wire = serve::v1;

void CheckRefusal(const absl::Status& status) {
  RADLADS_CHECK(absl::IsInvalidArgument(status) || absl::IsNotFound(status)) << status;
  const wire::Result result = ToWire({}, status);
  RADLADS_CHECK(!result.error().message().empty() && IsValidUtf8(result.error().message())) << status;
}

void CheckMessage(std::string_view bytes) {
  static const auto tokenizer = SmallTokenizer(
      "{%- for message in messages %}{{- message.role + message.content.strip() + '<|end|>' }}{%- endfor %}"
      "{%- if add_generation_prompt %}{{- 'a' }}{%- endif %}");
  wire::GenerateRequest request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  FakeTextService service(tokenizer, {.reply = {1}});
  RADLADS_CHECK(service.ImportSession("[5,6,0]", "s").ok());
  const ServedModel models[] = {{.name = "fake", .service = &service, .tokenizer = tokenizer}};
  const auto model = FindModel(models, request.begin().model());
  if (!model.ok()) CheckRefusal(model.status());
  const auto text = ParseText(request.begin(), models[0], 10);
  if (!text.ok()) return CheckRefusal(text.status());
  RADLADS_CHECK(text->session.empty() || text->snapshot.empty());
  RADLADS_CHECK(!text->prompt.empty() || !text->session.empty() || !text->snapshot.empty());
  for (const int64_t id : text->prompt) RADLADS_CHECK(id >= 0 && id < 97) << id;
  RADLADS_CHECK(text->reply_end >= 0 && text->reply_end <= static_cast<int64_t>(text->prompt.size()));
  RADLADS_CHECK(text->max_tokens >= 0);
  RADLADS_CHECK(text->sampling.Check(97).ok());
  RADLADS_CHECK(!text->logprobs || (*text->logprobs >= 0 && *text->logprobs <= 20));
}

// The texts that begin with 0 to 7 say something, end, or are read from.
void CheckOutbox(std::string_view bytes) {
  struct Said {
    std::string text;
    int64_t tokens = 0;
    bool ended = false;
  };
  std::map<uint64_t, Said> said, heard;
  Outbox outbox;
  const auto read = [&] {
    const auto response = outbox.Next();
    if (!response) return false;
    Said& text = heard[response->id()];
    RADLADS_CHECK(!text.ended) << response->id();
    text.text += response->piece().text();
    text.tokens += response->piece().tokens_size();
    text.ended = response->has_result();
    return true;
  };
  for (const unsigned char byte : bytes) {
    const uint64_t id = byte & 7;
    if (said[id].ended) continue;
    switch (byte >> 6) {
      case 0:
        outbox.Add(id, wire::Result());
        said[id].ended = true;
        break;
      case 1:
        read();
        break;
      default: {
        const std::string text(byte >> 7 ? byte * 100 : 1, static_cast<char>('a' + byte % 26));
        outbox.Add(id, {.text = text, .tokens = {{.id = byte}, {.id = 1}}}, byte & 8);
        said[id].text += text;
        said[id].tokens += 2;
      }
    }
  }
  while (read()) {
  }
  RADLADS_CHECK(outbox.empty() && outbox.texts() == 0 && outbox.bytes() == 0) << outbox.bytes();
  for (const auto& [id, text] : said) {
    RADLADS_CHECK(heard[id].text == text.text && heard[id].tokens == text.tokens && heard[id].ended == text.ended)
        << id;
  }
}

}  // namespace
}  // namespace radlads

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  radlads::CheckMessage(bytes);
  radlads::CheckOutbox(bytes);
  return 0;
}
