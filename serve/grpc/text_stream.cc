#include "serve/grpc/text_stream.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <new>
#include <system_error>
#include <utility>

#include "base/message_size.h"
#include "base/status.h"
#include "serve/grpc/text_messages.h"
#include "serve/grpc/text_service.grpc.pb.h"

namespace radlads {
namespace {

namespace wire = serve::v1;
using Clock = std::chrono::steady_clock;

constexpr char kNoRequest[] = "a message of the stream is no GenerateRequest of radlads.serve.v1";

// The field `id` of a GenerateRequest, without the rest.
uint64_t IdOf(const grpc::ByteBuffer& message) {
  using google::protobuf::internal::WireFormatLite;
  grpc::ByteBuffer copy = message;
  grpc::ProtoBufferReader bytes(&copy);
  google::protobuf::io::CodedInputStream coded(&bytes);
  uint64_t id = 0;
  while (const uint32_t tag = coded.ReadTag()) {
    const bool is_id =
        tag == WireFormatLite::MakeTag(wire::GenerateRequest::kIdFieldNumber, WireFormatLite::WIRETYPE_VARINT);
    if (!(is_id ? coded.ReadVarint64(&id) : WireFormatLite::SkipField(&coded, tag))) break;
  }
  return id;
}

const absl::Status& Ending() {
  static const absl::Status status = absl::UnavailableError("the server shuts down; the text ends here");
  return status;
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* TextStream::Open(TextStreamContext& shared,
                                                                              grpc::CallbackServerContext& context) {
  auto* stream = new TextStream(shared, context);
  stream->Begin();
  return stream;
}

void TextStream::Begin() {
  shared_.log.StreamOpened();
  status_ = CheckKey(shared_.access, context_);
  if (status_.ok()) status_ = shared_.streams.Add(this);
  open_ = status_.ok();
  if (!open_) return Finish(ToGrpc(status_));
  std::lock_guard lock(mutex_);
  try {
    thread_ = std::thread([this] { Work(); });
  } catch (const std::system_error&) {
    status_ = absl::ResourceExhaustedError("the server can start no more threads; one stream takes many texts");
    return Finish(ToGrpc(status_));
  }
  StartSendInitialMetadata();
  ReadOn();
}

void TextStream::OnReadDone(bool ok) {
  std::lock_guard lock(mutex_);
  reading_ = false;
  if (ok) {
    message_ = std::exchange(incoming_, grpc::ByteBuffer());
  } else {
    half_closed_ = true;
  }
  changed_.notify_all();
}

void TextStream::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  if (!ok) cancelled_ = true;  // OnCancel comes, too
  WriteOn();
  ReadOn();
  changed_.notify_all();
}

void TextStream::OnCancel() {
  Cancels texts;
  {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    outbox_.Clear();
    texts = EndTexts(absl::CancelledError("the client left"));
    changed_.notify_all();
  }
  Cancel(texts);
}

void TextStream::OnDone() {
  if (thread_.joinable()) thread_.join();
  shared_.log.StreamEnded(call_, status_, texts_begun_);
  if (open_) shared_.streams.Remove(this);
  delete this;
}

void TextStream::Drain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
  changed_.notify_all();
}

void TextStream::Look() {
  const Clock::time_point now = Clock::now();
  Cancels texts;
  {
    std::lock_guard lock(mutex_);
    if (draining_ && now >= shared_.drain_end.load()) texts = EndTexts(Ending());
    if (writing_ && now - writing_since_ > shared_.write_time && !late_) {
      late_ = true;
      context_.TryCancel();
    }
  }
  Cancel(texts);
}

bool TextStream::Over() const {
  if (!texts_.empty()) return false;
  return cancelled_ || ((half_closed_ || draining_ || !failure_.ok()) && !message_ && outbox_.empty() && !writing_);
}

void TextStream::ReadOn() {
  if (reading_ || message_ || half_closed_ || cancelled_ || !failure_.ok()) return;
  if (outbox_.texts() >= kMaxTextsWaiting) return;
  reading_ = true;
  StartRead(&incoming_);
}

void TextStream::WriteOn() {
  if (writing_ || cancelled_) return;
  const auto response = outbox_.Next();
  if (!response) return;
  outgoing_.Clear();
  bool own = false;
  const grpc::Status written =
      grpc::SerializationTraits<wire::GenerateResponse>::Serialize(*response, &outgoing_, &own);
  RADLADS_CHECK(written.ok()) << written.error_message();
  writing_ = true;
  writing_since_ = Clock::now();
  StartWrite(&outgoing_);
}

void TextStream::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return message_ || !ended_texts_.empty() || Over(); });
    while (!ended_texts_.empty()) {
      const auto ended = texts_.extract(ended_texts_.back());
      ended_texts_.pop_back();
      const Text& text = ended.mapped();
      lock.unlock();
      shared_.log.Text(call_, ended.key(), text.start, text.error, text.model == nullptr ? "" : text.model->name,
                       text.result);
      lock.lock();
    }
    if (Over()) break;
    if (!message_) continue;
    const grpc::ByteBuffer message = *std::exchange(message_, std::nullopt);
    if (cancelled_) continue;
    lock.unlock();
    absl::Status taken = Take(message);
    lock.lock();
    if (!taken.ok()) {
      failure_ = std::move(taken);
      const Cancels texts = EndTexts(absl::AbortedError(Concatenate("the stream ends: ", failure_.message())));
      lock.unlock();
      Cancel(texts);
      lock.lock();
    }
    ReadOn();
  }
  if (late_) {
    status_ = absl::CancelledError(
        Concatenate("the client took no message for ", shared_.write_time.count(), " ms, though some waited"));
  } else if (cancelled_) {
    status_ = absl::CancelledError("the client left");
  } else if (!failure_.ok()) {
    status_ = failure_;
  } else if (!half_closed_) {
    status_ = absl::UnavailableError("the server shuts down; ask another for what has no result");
  }
  lock.unlock();
  Finish(ToGrpc(status_));
}

absl::Status TextStream::Take(const grpc::ByteBuffer& message) {
  absl::Status taken;
  try {
    RADLADS_RETURN_IF_ERROR(shared_.work.Run(
        message.Length(), [&] { taken = Read(message); }, RequestWork::IfFull::kWait));
  } catch (const std::bad_alloc&) {
    return absl::UnavailableError("the server has no memory for a message of the stream now; try again later");
  }
  return taken;
}

absl::Status TextStream::Read(const grpc::ByteBuffer& message) {
  grpc::ByteBuffer copy = message;
  MemoryBudget::Part memory(shared_.work.memory());
  {
    grpc::ProtoBufferReader bytes(&copy);
    const absl::StatusOr<int64_t> needed = MessageMemory(bytes, *wire::GenerateRequest::descriptor());
    if (!needed.ok()) return InvalidArgument(kNoRequest);
    const absl::Status room =
        memory.Take(*needed + RequestWork::kMemoryPerTextByte * static_cast<int64_t>(message.Length()));
    if (!room.ok()) return BeginText(IdOf(message), [&](Text&) { return room; });
  }
  wire::GenerateRequest request;
  if (!grpc::SerializationTraits<wire::GenerateRequest>::Deserialize(&copy, &request).ok()) {
    return InvalidArgument(kNoRequest);
  }
  if (request.has_cancel()) {
    CancelText(request.id());
    return absl::OkStatus();
  }
  const uint64_t id = request.id();
  return BeginText(id, [&](Text& text) { return StartText(id, request, std::move(memory), text); });
}

absl::Status TextStream::BeginText(uint64_t id, const Start& start) {
  Text* text = nullptr;
  {
    std::lock_guard lock(mutex_);
    const auto [at, is_new] = texts_.try_emplace(id);
    if (!is_new) {
      return InvalidArgument("id ", id,
                             " is that of a text that has no result yet; give each text of a stream another");
    }
    text = &at->second;
  }
  ++texts_begun_;
  const absl::StatusOr<uint64_t> number = start(*text);
  std::unique_lock lock(mutex_);
  if (!number.ok()) {
    text->error = number.status();
    EndText(id, *text);
    return absl::OkStatus();
  }
  text->number = *number;
  // What wanted to end it meanwhile did not know its number.
  if (!text->why.ok()) {
    lock.unlock();
    text->model->service->Cancel(*number);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> TextStream::StartText(uint64_t id, const wire::GenerateRequest& request,
                                               MemoryBudget::Part memory, Text& text) {
  {
    std::lock_guard lock(mutex_);
    if (draining_) return absl::UnavailableError("the server shuts down; ask another one, or later");
  }
  if (!request.has_begin()) return InvalidArgument("the request has neither begin nor cancel");
  RADLADS_ASSIGN_OR_RETURN(text.model, FindModel(shared_.models, request.begin().model()));
  RADLADS_ASSIGN_OR_RETURN(TextRequest asked, ParseText(request.begin(), *text.model, shared_.max_tokens));
  text.logprobs = asked.logprobs.has_value();
  memory.ShrinkTo(static_cast<int64_t>(asked.prompt.size() * sizeof(asked.prompt[0])));
  text.memory = std::move(memory);
  return text.model->service->Start(std::move(asked),
                                    {.on_piece = [this, id](TextPiece piece) { return OnPiece(id, std::move(piece)); },
                                     .on_done = [this, id](TextResult result) { OnTextDone(id, std::move(result)); }});
}

void TextStream::CancelText(uint64_t id) {
  Cancels cancels;
  {
    std::lock_guard lock(mutex_);
    const auto found = texts_.find(id);
    if (found == texts_.end() || !found->second.number) return;
    found->second.asked = true;
    cancels = {{found->second.model->service, *found->second.number}};
  }
  Cancel(cancels);
}

bool TextStream::OnPiece(uint64_t id, TextPiece piece) {
  std::lock_guard lock(mutex_);
  if (cancelled_) return false;
  Text& text = texts_.at(id);
  if (!text.spoke && !piece.tokens.empty()) {
    text.spoke = true;
    shared_.log.FirstToken(text.start);
  }
  outbox_.Add(id, piece, text.logprobs);
  const bool full = outbox_.bytes() > kMaxWaiting;
  if (full && text.why.ok()) {
    text.why = absl::ResourceExhaustedError(
        Concatenate("responses are not read as fast as they are made, and ", kMaxWaiting >> 20,
                    " MiB of them wait, which is all that the server keeps for a stream; read on while texts go on"));
  }
  WriteOn();
  return !full;
}

void TextStream::OnTextDone(uint64_t id, TextResult result) {
  std::lock_guard lock(mutex_);
  Text& text = texts_.at(id);
  text.result = std::move(result);
  if (text.result.finish == TextFinish::kError) {
    text.error = text.result.status;
  } else if (text.result.finish == TextFinish::kCancelled && !text.asked) {
    text.error = text.why.ok() ? absl::AbortedError("the text was cancelled") : text.why;
  }
  EndText(id, text);
}

void TextStream::EndText(uint64_t id, Text& text) {
  ended_texts_.push_back(id);
  if (!cancelled_) outbox_.Add(id, ToWire(text.result, text.error));
  WriteOn();
  changed_.notify_all();
}

TextStream::Cancels TextStream::EndTexts(const absl::Status& why) {
  Cancels cancels;
  for (auto& [id, text] : texts_) {
    if (!text.why.ok()) continue;
    text.why = why;
    if (text.number) cancels.emplace_back(text.model->service, *text.number);
  }
  return cancels;
}

void TextStream::Cancel(const Cancels& texts) {
  for (const auto& [service, number] : texts) service->Cancel(number);
}

}  // namespace radlads
