#include "model/decode/decode_batch.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kernels/testing/compare.h"
#include "model/decode/state_rows.h"
#include "model/testing.h"

namespace radlads {
namespace {

ModelState Read(Transformer& model, const std::vector<int64_t>& ids) {
  ModelState state;
  model.Forward(at::tensor(ids, at::kLong).unsqueeze(0), &state);
  return state;
}

bool SameState(const ModelState& a, const ModelState& b) {
  for (size_t i = 0; i < a.layers.size(); ++i) {
    if (a.layers[i].tensors.size() != b.layers[i].tensors.size()) return false;
    for (const auto& [name, tensor] : a.layers[i].tensors) {
      if (!BitwiseEqual(tensor, b.layers[i].tensors.at(name))) return false;
    }
  }
  return static_cast<bool>(BitwiseEqual(a.position, b.position));
}

class DecodeTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, DecodeTest, ::testing::ValuesIn(SmallKinds()),
                         [](const auto& info) { return info.param; });

TEST_P(DecodeTest, RowsComeAndGo) {
  auto model = InferenceModel(GetParam());
  const at::NoGradGuard no_grad;
  std::vector<ModelState> states(9);
  for (size_t i = 0; i < states.size(); ++i) {
    states[i] = Read(*model, RandomTokens(static_cast<int>(i), 3 + static_cast<int64_t>(i)));
  }
  StateRows rows(/*room=*/16);
  std::vector<size_t> present;
  std::mt19937_64 random(1);
  for (int step = 0; step < 200; ++step) {
    if (present.empty() || random() % 2 == 0) {
      present.push_back(random() % states.size());
      rows.Add(states[present.back()]);
    } else {
      const size_t row = random() % present.size();
      rows.Remove(static_cast<int64_t>(row));
      present[row] = present.back();
      present.pop_back();
    }
    ASSERT_EQ(rows.size(), static_cast<int64_t>(present.size()));
    for (size_t i = 0; i < present.size(); ++i) {
      ASSERT_TRUE(SameState(rows.Copy(static_cast<int64_t>(i)), states[present[i]]))
          << "step " << step << ", row " << i;
    }
  }
}

// A step over texts of any lengths, called or recorded, gives each text what it gives alone; also after it has moved
// where there is more room.
TEST_P(DecodeTest, StepsTogetherEqualStepsAlone) {
  const std::string kind = GetParam();
  for (const bool for_inference : {true, false}) {
    auto model = for_inference ? InferenceModel(kind) : SmallModel(kind);
    const at::NoGradGuard no_grad;
    int recordings = 0, replays = 0;
    // As a device that records: what it is given runs once, for nothing, and when it is told to.
    const Recorder recorder = [&](const std::function<void()>& work) {
      ++recordings;
      work();
      return [&, work] {
        ++replays;
        work();
      };
    };
    DecodeBatch called(*model, nullptr), recorded(*model, recorder);
    struct Alone {
      ModelState state;
      int64_t next;
    };
    std::map<uint64_t, Alone> alone;
    const auto next = [&](uint64_t text) { return alone.at(text).next; };
    const auto begin = [&](uint64_t text, int64_t length) {
      const ModelState state = Read(*model, RandomTokens(static_cast<int>(text), length));
      called.Add(text, state);
      recorded.Add(text, state);
      alone[text] = {state.Copy(), static_cast<int64_t>(text)};
    };
    int64_t steps = 0;
    const auto step = [&] {
      SCOPED_TRACE(Concatenate(for_inference ? "inference" : "operations", ", step ", steps++));
      const Tensor hidden = called.Step(next);
      // Where layers are recorded they are not inference's, whose memory may move.
      const Tensor replayed = for_inference ? hidden : recorded.Step(next);
      const std::vector<uint64_t> texts = called.texts();
      ASSERT_EQ(texts.size(), alone.size());
      ASSERT_EQ(called.size(), static_cast<int64_t>(alone.size()));
      if (!for_inference) {
        ASSERT_EQ(recorded.texts(), texts);
      }
      for (size_t i = 0; i < texts.size(); ++i) {
        auto& [state, id] = alone.at(texts[i]);
        const Tensor want = model->Forward(at::full({1, 1}, id, at::kLong), &state).select(1, 0);
        const int64_t row = static_cast<int64_t>(i);
        if (for_inference) {
          EXPECT_TRUE(BitwiseEqual(hidden.narrow(0, row, 1), want)) << "text " << texts[i];
          EXPECT_TRUE(SameState(called.StateOf(texts[i]), state)) << "text " << texts[i];
        } else {
          EXPECT_TRUE(IsClose(hidden.narrow(0, row, 1), want, 1e-5)) << "text " << texts[i];
          EXPECT_TRUE(IsClose(replayed.narrow(0, row, 1), want, 1e-5)) << "recorded, text " << texts[i];
        }
        id = 1 + (id * 31 + 7) % 96;
      }
    };
    begin(1, 3);
    begin(2, 58);
    for (int i = 0; i < 5; ++i) step();
    begin(3, 1);
    for (int i = 0; i < 3; ++i) step();
    for (DecodeBatch* batch : {&called, &recorded}) batch->Remove(1);
    alone.erase(1);
    for (int i = 0; i < 3; ++i) step();
    if (!for_inference) {
      // One for each time that rows outgrow their memory, and one where text 2 has moved, when it had 64 tokens.
      const bool grows = !kind.starts_with("rad_");
      EXPECT_EQ(recordings, grows ? 3 : 1);
      EXPECT_EQ(replays, grows ? 11 + 5 : 11);
    }
    called.Clear();
    EXPECT_EQ(called.size() + called.ByteSize(), 0);
  }
}

}  // namespace
}  // namespace radlads
