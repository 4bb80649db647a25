// Replies that are JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/status.h"
#include "model/testing.h"
#include "serve/sessions/model_hash.h"
#include "serve/sessions/service_testing.h"
#include "serve/sessions/session_store.h"
#include "serve/text/growing_json.h"

namespace radlads {
namespace {

using Ids = std::vector<int64_t>;

class JsonReplyTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, JsonReplyTest, ::testing::Values("rad_rwkv6", "rad_rwkv7", "qwen2", "hybrid"),
                         [](const auto& info) { return info.param; });

// Of a model that would say anything, with the tokens that open strings, arrays and objects as likely as others.
TextRequest AskForJson(int seed) {
  TextRequest request{.prompt = RandomTokens(seed, 10), .max_tokens = 400, .json = true};
  request.sampling = seed % 4 == 0 ? SamplingOptions{} : Seeded(seed);
  // A random model would hardly ever close what it opens.
  for (const char end : {'"', '}', ']'}) request.sampling.logit_bias[end - '!' + 1] = 3;
  return request;
}

TEST_P(JsonReplyTest, JsonIsAnObjectAndTheEnd) {
  SmallService service(GetParam());
  int complete = 0;
  for (int seed = 0; seed < 12; ++seed) {
    Reader reader(*service, AskForJson(seed)), again(*service, AskForJson(seed));
    const TextResult& result = reader.Wait();
    EXPECT_EQ(result.finish == TextFinish::kStop, nlohmann::json::accept(reader.text())) << seed << reader.text();
    EXPECT_EQ(result.finish == TextFinish::kLength, reader.ids().size() == 400) << seed << reader.text();
    EXPECT_TRUE(GrowingJson().Append(reader.text())) << reader.text();
    EXPECT_EQ(again.Wait().finish, result.finish);
    EXPECT_EQ(again.ids(), reader.ids());
    complete += result.finish == TextFinish::kStop;
  }
  EXPECT_GE(complete, 6) << "the test shows little";
}

TEST(JsonReply, JsonThatWasCutGoesOnAsItWould) {
  SessionServiceOptions options{.directory = NewDirectory()};
  SmallService service("rad_rwkv7", options);
  TextRequest request = AskForJson(2);
  Reader whole(*service, request);
  whole.Wait();
  const Ids ids = whole.ids();
  ASSERT_GT(ids.size(), 3u) << "choose another seed";
  // As a process leaves it that was killed after each token.
  for (size_t cut = 1; cut <= ids.size(); cut += cut < 5 ? 1 : 7) {
    options.directory = NewDirectory();
    {
      auto store = SessionStore::Open(options.directory, ModelHash(service.model()), "small", {});
      ASSERT_TRUE(store.ok()) << store.status();
      ASSERT_TRUE((*store)->Insert("s", 0, "", {}, nullptr).ok());
      const auto lease = (*store)->Acquire("s");
      SessionStore::Append append{.lease = &*lease,
                                  .tokens = Joined({request.prompt, Ids(ids.begin(), ids.begin() + cut)})};
      append.begin.emplace();
      append.begin->set_prompt(0);
      append.begin->set_reply(10);
      ASSERT_TRUE((*store)->AppendTokens({&append, 1}).ok());
    }
    service.options = options;
    service.Reopen();
    TextRequest rest = request;
    rest.session = "s";
    rest.prompt.clear();
    rest.max_tokens = 400 - static_cast<int64_t>(cut);
    Reader reader(*service, rest);
    EXPECT_EQ(reader.Wait().finish, whole.Wait().finish) << reader.Wait().status;
    EXPECT_EQ(Joined({Ids(ids.begin(), ids.begin() + cut), reader.ids()}), ids) << "cut after " << cut;
    EXPECT_EQ(reader.Wait().cached_tokens, 0);
  }
}

}  // namespace
}  // namespace radlads
