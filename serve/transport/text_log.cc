#include "serve/transport/text_log.h"

#include <openssl/rand.h>

#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/transport/json_fields.h"

namespace radlads {
namespace {

const char* FinishName(TextFinish finish) {
  switch (finish) {
    case TextFinish::kStop:
      return "stop";
    case TextFinish::kLength:
      return "length";
    case TextFinish::kCancelled:
      return "cancelled";
    case TextFinish::kError:
      return "error";
  }
  return "";
}

}  // namespace

std::string RandomHex(int count) {
  std::vector<unsigned char> bytes((count + 1) / 2);
  RADLADS_CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1) << "no random numbers";
  std::string text;
  for (const unsigned char byte : bytes) {
    static constexpr char kHex[] = "0123456789abcdef";
    text += {kHex[byte >> 4], kHex[byte & 15]};
  }
  return text.substr(0, count);
}

std::string RequestId(std::string_view given) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  const bool good = !given.empty() && given.size() <= 64 && given.find_first_not_of(kAllowed) == std::string_view::npos;
  return good ? std::string(given) : "req-" + RandomHex(16);
}

const prometheus::Histogram::BucketBoundaries& SecondsBuckets() {
  static const prometheus::Histogram::BucketBoundaries bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                                 0.25,  0.5,    1,     2.5,  10,    60,   600};
  return bounds;
}

TextLog::TextLog(prometheus::Registry& metrics, const std::string& transport)
    : first_token_(prometheus::BuildHistogram()
                       .Name("radlads_" + transport + "_first_token_seconds")
                       .Help("Time until the first token of a text was there.")
                       .Register(metrics)
                       .Add({}, SecondsBuckets())),
      tokens_(prometheus::BuildCounter()
                  .Name("radlads_" + transport + "_tokens_total")
                  .Help("Tokens of texts: of prompts, of these not read again, of replies.")
                  .Register(metrics)) {}

std::string TextLog::End(const std::string& model, const TextResult& result) {
  for (const auto& [kind, count] :
       {std::pair("prompt", result.prompt_tokens), {"cached", result.cached_tokens}, {"reply", result.reply_tokens}}) {
    tokens_.Add({{"model", model}, {"kind", kind}}).Increment(static_cast<double>(count));
  }
  return Concatenate(" model=", Dump(model), " prompt_tokens=", result.prompt_tokens,
                     " cached_tokens=", result.cached_tokens, " reply_tokens=", result.reply_tokens,
                     " finish=", FinishName(result.finish));
}

}  // namespace radlads
