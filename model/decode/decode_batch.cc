#include "model/decode/decode_batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

constexpr int64_t kLeastRoom = 64;

// Room doubles, so that a text moves seldom, and few parts hold all.
int64_t RoomFor(int64_t kept) {
  return std::max<int64_t>(kLeastRoom, std::bit_ceil<uint64_t>(kept + 1));
}

// -> the part that has the text, and its row there.
template <typename Parts>
auto Find(Parts& parts, uint64_t text) {
  size_t row = 0;
  const auto part = std::find_if(parts.begin(), parts.end(), [&](const auto& each) {
    const auto found =
        std::find_if(each.texts.begin(), each.texts.end(), [&](const auto& t) { return t.name == text; });
    row = found - each.texts.begin();
    return found != each.texts.end();
  });
  RADLADS_CHECK(part != parts.end()) << "no text " << text;
  return std::pair(&*part, row);
}

}  // namespace

int64_t DecodeBatch::size() const {
  int64_t size = 0;
  for (const Part& part : parts_) size += static_cast<int64_t>(part.texts.size());
  return size;
}

int64_t DecodeBatch::ByteSize() const {
  int64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.cohort.rows().ByteSize();
  return bytes;
}

std::vector<uint64_t> DecodeBatch::texts() const {
  std::vector<uint64_t> names;
  for (const Part& part : parts_) {
    for (const Text& text : part.texts) names.push_back(text.name);
  }
  return names;
}

void DecodeBatch::Add(uint64_t text, const ModelState& state) {
  const std::optional<int64_t> kept = TokensKept(state);
  const int64_t room = kept ? RoomFor(*kept) : 0;
  auto part = std::find_if(parts_.begin(), parts_.end(), [&](const Part& p) { return p.cohort.rows().room() == room; });
  if (part == parts_.end()) part = parts_.insert(part, Part{.cohort = DecodeCohort(model_, room, recorder_)});
  part->cohort.rows().Add(state);
  part->texts.push_back({.name = text, .kept = kept.value_or(0)});
}

void DecodeBatch::Remove(uint64_t text) {
  const auto [part, row] = Find(parts_, text);
  RemoveRow(part, row);
  DropEmptyParts();
}

ModelState DecodeBatch::StateOf(uint64_t text) const {
  const auto [part, row] = Find(parts_, text);
  return part->cohort.rows().Copy(static_cast<int64_t>(row));
}

// As DecodeCohort's rows.
void DecodeBatch::RemoveRow(Part* part, size_t row) {
  part->cohort.rows().Remove(static_cast<int64_t>(row));
  part->texts[row] = part->texts.back();
  part->texts.pop_back();
}

// That of states that do not grow stays, with its memory and what was recorded of it.
void DecodeBatch::DropEmptyParts() {
  parts_.remove_if([](const Part& part) { return part.texts.empty() && part.cohort.rows().room() > 0; });
}

// Those that fill their room go where there is more.
void DecodeBatch::MoveFullTexts() {
  std::vector<std::pair<uint64_t, ModelState>> full;
  for (Part& part : parts_) {
    const int64_t room = part.cohort.rows().room();
    for (size_t row = room > 0 ? part.texts.size() : 0; row-- > 0;) {
      if (part.texts[row].kept < room) continue;
      full.emplace_back(part.texts[row].name, part.cohort.rows().Copy(static_cast<int64_t>(row)));
      RemoveRow(&part, row);
    }
  }
  DropEmptyParts();
  for (const auto& [text, state] : full) Add(text, state);
}

Tensor DecodeBatch::Step(const std::function<int64_t(uint64_t text)>& next) {
  MoveFullTexts();
  std::vector<Tensor> hidden;
  for (Part& part : parts_) {
    if (part.texts.empty()) continue;
    std::vector<int64_t> ids;
    for (Text& text : part.texts) {
      ids.push_back(next(text.name));
      ++text.kept;
    }
    hidden.push_back(part.cohort.Step(ids));
  }
  RADLADS_CHECK(!hidden.empty()) << "a step of no texts";
  return hidden.size() == 1 ? hidden[0] : at::cat(hidden);
}

}  // namespace radlads
