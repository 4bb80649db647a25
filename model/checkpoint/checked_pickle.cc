#include "model/checkpoint/checked_pickle.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

// Instructions, as pickletools calls them.
enum Op : uint8_t {
  kMark = '(', kStop = '.', kNone = 'N', kGlobal = 'c', kReduce = 'R', kBuild = 'b', kEmptyDict = '}', kEmptyList = ']',
  kEmptyTuple = ')', kTuple = 't', kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87, kSetItem = 's', kSetItems = 'u',
  kAppends = 'e', kBinPut = 'q', kLongBinPut = 'r', kBinGet = 'h', kLongBinGet = 'j', kBinUnicode = 'X', kBinInt = 'J',
  kBinInt1 = 'K', kBinInt2 = 'M', kLong1 = 0x8a, kBinFloat = 'G', kTrue = 0x88, kFalse = 0x89, kBinPersId = 'Q', kProto = 0x80,
};

constexpr int kMaxDepth = 64;
constexpr std::string_view kStorages[] = {"FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage", "LongStorage", "IntStorage",
                                          "ShortStorage", "CharStorage", "ByteStorage", "BoolStorage"};

enum class Kind {
  kValue,
  kTuple,
  kDict,
  kList,
  kRebuildTensor,
  // These two, and an empty tuple right after the first, are not in the program that is returned.
  kOrderedDict,
  kRebuildParameter,
  kNoArguments,
};

struct Item {
  Kind kind = Kind::kValue;
  int depth = 0;
  bool recalled = false;  // from the memo: what is in it can no longer be followed when it changes
};

bool IsLeftOut(const Item& item) {
  return item.kind == Kind::kOrderedDict || item.kind == Kind::kRebuildParameter || item.kind == Kind::kNoArguments;
}

class Checker {
 public:
  Checker(std::span<const uint8_t> pickle, const std::string& where) : in_(pickle), where_(where) {}

  absl::StatusOr<std::string> Check() {
    if (in_.size() < 2 || in_[0] != kProto || in_[1] != 2) {
      return InvalidArgument(where_, ": not a pickle of protocol 2, which torch.save writes");
    }
    out_.assign({static_cast<char>(kProto), 2});
    for (at_ = 2; at_ < in_.size();) {
      start_ = at_;
      const uint8_t op = in_[at_++];
      if (op == kStop) {
        if (stack_.size() != 1 || !marks_.empty() || IsLeftOut(stack_[0])) return Wrong("ends without one value");
        out_.push_back(kStop);
        return std::move(out_);
      }
      RADLADS_RETURN_IF_ERROR(Step(op));
    }
    return Wrong("ends in the middle");
  }

 private:
  template <typename... Args>
  absl::Status Wrong(const Args&... what) const {
    return InvalidArgument(where_, ": the pickle ", what..., " (byte ", start_, ")");
  }

  // The next `size` bytes of the program.
  absl::StatusOr<std::string_view> Take(uint64_t size) {
    if (size > in_.size() - at_) return Wrong("ends in the middle");
    const std::string_view bytes(reinterpret_cast<const char*>(in_.data()) + at_, size);
    at_ += size;
    return bytes;
  }
  absl::StatusOr<std::string_view> TakeLine() {
    const auto rest = in_.subspan(at_);
    const auto end = std::find(rest.begin(), rest.end(), '\n');
    if (end == rest.end()) return Wrong("ends in the middle");
    RADLADS_ASSIGN_OR_RETURN(const std::string_view line, Take(end - rest.begin() + 1));
    return line.substr(0, line.size() - 1);
  }
  template <typename T>
  absl::StatusOr<uint64_t> TakeNumber() {
    RADLADS_ASSIGN_OR_RETURN(const std::string_view bytes, Take(sizeof(T)));
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  void Copy() { out_.append(reinterpret_cast<const char*>(in_.data()) + start_, at_ - start_); }

  void Push(Kind kind, int depth = 0) { stack_.push_back({kind, depth, false}); }
  // Items above the last mark.
  size_t Available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  // Takes the upper `count` items off; their depth.
  absl::StatusOr<int> Pop(size_t count) {
    if (count > Available()) return Wrong("takes from an empty stack");
    int depth = 0;
    for (size_t i = stack_.size() - count; i < stack_.size(); ++i) {
      if (IsLeftOut(stack_[i])) return Wrong("keeps a function as a value");
      depth = std::max(depth, stack_[i].depth);
    }
    stack_.resize(stack_.size() - count);
    if (depth >= kMaxDepth) return Wrong("nests values more than ", kMaxDepth, " deep");
    return depth;
  }
  absl::StatusOr<size_t> PopMark() {
    if (marks_.empty()) return Wrong("has no mark");
    const size_t count = Available();
    marks_.pop_back();
    return count;
  }
  absl::Status MakeTuple(size_t count) {
    RADLADS_ASSIGN_OR_RETURN(const int depth, Pop(count));
    Push(Kind::kTuple, depth + 1);
    Copy();
    return absl::OkStatus();
  }
  // Puts `count` items into the container below them.
  absl::Status Fill(Kind container, size_t count) {
    RADLADS_ASSIGN_OR_RETURN(const int depth, Pop(count));
    if (Available() == 0 || stack_.back().kind != container || stack_.back().recalled) {
      return Wrong("adds to what is no container of its own");
    }
    stack_.back().depth = std::max(stack_.back().depth, depth + 1);
    Copy();
    return absl::OkStatus();
  }

  absl::Status Step(uint8_t op) {
    switch (op) {
      case kMark:
        marks_.push_back(stack_.size());
        Copy();
        return absl::OkStatus();
      case kNone: case kTrue: case kFalse: return Plain(0);
      case kBinInt1: return Plain(1);
      case kBinInt2: return Plain(2);
      case kBinInt: return Plain(4);
      case kBinFloat: return Plain(8);
      case kBinUnicode: {
        RADLADS_ASSIGN_OR_RETURN(const uint64_t size, TakeNumber<uint32_t>());
        return Plain(size);
      }
      case kLong1: return LongInteger();
      case kEmptyDict: Push(Kind::kDict, 1); Copy(); return absl::OkStatus();
      case kEmptyList: Push(Kind::kList, 1); Copy(); return absl::OkStatus();
      case kEmptyTuple: return EmptyTuple();
      case kTuple1: return MakeTuple(1);
      case kTuple2: return MakeTuple(2);
      case kTuple3: return MakeTuple(3);
      case kTuple: {
        RADLADS_ASSIGN_OR_RETURN(const size_t count, PopMark());
        return MakeTuple(count);
      }
      case kSetItem: return Fill(Kind::kDict, 2);
      case kSetItems: {
        RADLADS_ASSIGN_OR_RETURN(const size_t count, PopMark());
        if (count % 2 != 0) return Wrong("has a key without a value");
        return Fill(Kind::kDict, count);
      }
      case kAppends: {
        RADLADS_ASSIGN_OR_RETURN(const size_t count, PopMark());
        return Fill(Kind::kList, count);
      }
      case kBinPut: return Put<uint8_t>();
      case kLongBinPut: return Put<uint32_t>();
      case kBinGet: return Get<uint8_t>();
      case kLongBinGet: return Get<uint32_t>();
      case kGlobal: return Global();
      case kReduce: return Reduce();
      case kBuild: {
        RADLADS_ASSIGN_OR_RETURN(const int depth, Pop(2));
        Push(Kind::kTuple, depth + 1);
        out_.push_back(static_cast<char>(kTuple2));
        return absl::OkStatus();
      }
      case kBinPersId: {
        if (Available() == 0 || stack_.back().kind != Kind::kTuple) return Wrong("names a storage without a tuple");
        RADLADS_RETURN_IF_ERROR(Pop(1).status());
        Push(Kind::kValue);
        Copy();
        return absl::OkStatus();
      }
      default: return Wrong("has the instruction ", int{op}, ", which weights do not need");
    }
  }

  absl::Status Plain(uint64_t size) {
    RADLADS_RETURN_IF_ERROR(Take(size).status());
    Push(Kind::kValue);
    Copy();
    return absl::OkStatus();
  }

  // LibTorch reads long integers of 8 bytes only.
  absl::Status LongInteger() {
    RADLADS_ASSIGN_OR_RETURN(const uint64_t size, TakeNumber<uint8_t>());
    RADLADS_ASSIGN_OR_RETURN(const std::string_view bytes, Take(size));
    if (size > 8) return Wrong("has an integer of ", size, " bytes");
    out_ += {static_cast<char>(kLong1), 8};
    out_ += bytes;
    out_.append(8 - size, size > 0 && bytes.back() < 0 ? '\xff' : '\0');
    Push(Kind::kValue);
    return absl::OkStatus();
  }

  absl::Status EmptyTuple() {
    if (Available() > 0 && stack_.back().kind == Kind::kOrderedDict) {
      Push(Kind::kNoArguments);
      return absl::OkStatus();
    }
    Push(Kind::kTuple, 1);
    Copy();
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status Put() {
    RADLADS_ASSIGN_OR_RETURN(const uint64_t id, TakeNumber<T>());
    // LibTorch keeps a table as long as the largest number.
    if (id >= in_.size()) return Wrong("remembers a value under the number ", id, ", more than it has values");
    if (Available() == 0 || stack_.back().kind == Kind::kNoArguments) return Wrong("remembers what is not there");
    memo_[id] = stack_.back();
    memo_[id].recalled = true;
    if (!IsLeftOut(stack_.back())) Copy();
    return absl::OkStatus();
  }

  template <typename T>
  absl::Status Get() {
    RADLADS_ASSIGN_OR_RETURN(const uint64_t id, TakeNumber<T>());
    const auto found = memo_.find(id);
    if (found == memo_.end()) return Wrong("recalls number ", id, ", which it did not remember");
    stack_.push_back(found->second);
    // Who holds it may have put more into it since.
    if (found->second.kind == Kind::kDict || found->second.kind == Kind::kList) stack_.back().depth = kMaxDepth;
    if (!IsLeftOut(found->second)) Copy();
    return absl::OkStatus();
  }

  absl::Status Global() {
    RADLADS_ASSIGN_OR_RETURN(const std::string_view module, TakeLine());
    RADLADS_ASSIGN_OR_RETURN(const std::string_view name, TakeLine());
    if (module == "collections" && name == "OrderedDict") {
      Push(Kind::kOrderedDict);
      return absl::OkStatus();
    }
    if (module == "torch._utils" && name == "_rebuild_parameter") {
      Push(Kind::kRebuildParameter);
      return absl::OkStatus();
    }
    if (module == "torch._utils" && name == "_rebuild_tensor_v2") {
      Push(Kind::kRebuildTensor);
    } else if (module == "torch" && std::find(std::begin(kStorages), std::end(kStorages), name) != std::end(kStorages)) {
      Push(Kind::kValue);
    } else {
      return Wrong("calls ", module.substr(0, 100), ".", name.substr(0, 100), ", which weights do not need and which is never run");
    }
    Copy();
    return absl::OkStatus();
  }

  absl::Status Reduce() {
    if (Available() < 2) return Wrong("takes from an empty stack");
    const Item function = stack_[stack_.size() - 2], arguments = stack_.back();
    stack_.resize(stack_.size() - 2);
    if (function.kind == Kind::kOrderedDict && arguments.kind == Kind::kNoArguments) {
      Push(Kind::kDict, 1);
      out_.push_back(static_cast<char>(kEmptyDict));
    } else if (function.kind == Kind::kRebuildParameter && arguments.kind == Kind::kTuple) {
      Push(Kind::kTuple, arguments.depth);
    } else if (function.kind == Kind::kRebuildTensor && arguments.kind == Kind::kTuple) {
      Push(Kind::kValue);
      Copy();
    } else {
      return Wrong("calls what is no function, or a dictionary with arguments");
    }
    return absl::OkStatus();
  }

  const std::span<const uint8_t> in_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0, start_ = 0;
  std::vector<Item> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, Item> memo_;
};

}  // namespace

absl::StatusOr<std::string> CheckedPickle(std::span<const uint8_t> pickle, const std::string& where) {
  return Checker(pickle, where).Check();
}

}  // namespace radlads
