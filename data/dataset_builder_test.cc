#include "data/dataset_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lz4frame.h>
#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <random>

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

std::string Gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(compressBound(text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = text.size();
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = out.size();
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Xz(const std::string& text) {
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const uint8_t*>(text.data()),
                                    text.size(), reinterpret_cast<uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

std::string Lz4(const std::string& text) {
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
  std::string out(LZ4F_compressFrameBound(text.size(), &preferences), '\0');
  out.resize(LZ4F_compressFrame(out.data(), out.size(), text.data(), text.size(), &preferences));
  return out;
}

// A tokenizer whose ids are the bytes.
EncodeFunction ByteEncoder() {
  return [](std::string_view text, std::vector<int32_t>* ids) {
    for (char c : text) ids->push_back(static_cast<unsigned char>(c));
  };
}
constexpr int32_t kEos = 256;

class DatasetBuilderTest : public ::testing::Test {
 protected:
  DatasetBuilderTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "/builder_" + test->name();
    std::filesystem::remove_all(directory_);
    EXPECT_TRUE(MakeDirectories(directory_).ok());
    prefix_ = directory_ + "/out/tokens";
    options_.eos_id = kEos;
  }

  std::string Put(const std::string& name, const std::string& contents) {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(MakeDirectories(std::filesystem::path(path).parent_path()).ok());
    EXPECT_TRUE(WriteFileAtomically(path, contents).ok());
    return path;
  }
  absl::Status Build(const std::vector<std::string>& inputs) {
    RADLADS_ASSIGN_OR_RETURN(options_.paths, ExpandInputs(inputs));
    RADLADS_ASSIGN_OR_RETURN(auto writer, TokenDatasetWriter::Create(prefix_, TokenType::kUint16));
    RADLADS_ASSIGN_OR_RETURN(result_, BuildDataset(options_, ByteEncoder, writer.get()));
    return writer->Commit();
  }
  // The documents of the dataset as text, "|" for the end mark.
  std::vector<std::string> Documents() {
    auto dataset = TokenDataset::Open(prefix_);
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    if (!dataset.ok()) return {};
    std::vector<std::string> documents;
    for (int64_t d = 0; d < (*dataset)->documents(); ++d) {
      std::vector<int32_t> ids((*dataset)->DocumentBegin(d + 1) - (*dataset)->DocumentBegin(d));
      EXPECT_TRUE((*dataset)->Read((*dataset)->DocumentBegin(d), std::span<int32_t>(ids)).ok());
      std::string text;
      for (int32_t id : ids) text += id == kEos ? '|' : static_cast<char>(id);
      documents.push_back(text);
    }
    return documents;
  }

  std::string directory_, prefix_;
  BuildOptions options_;
  BuildResult result_;
};

TEST_F(DatasetBuilderTest, ReadsJsonLines) {
  const std::string path = Put("a.jsonl",
                               "\xef\xbb\xbf{\"text\": \"one\"}\r\n\n{\"id\": 3, \"text\": \"t\\u00e9\\n\"}\n  "
                               "\n{\"text\":\"\"}\n{\"text\": \"last\"}");
  ASSERT_TRUE(Build({path}).ok());
  EXPECT_THAT(Documents(), ElementsAre("one|", "t\xc3\xa9\n|", "|", "last|"));
  EXPECT_EQ(result_.text_bytes, 3 + 4 + 0 + 4);
}

TEST_F(DatasetBuilderTest, WithoutEndMarkEmptyDocumentsAreLeftOutAndCounted) {
  options_.eos_id = std::nullopt;
  ASSERT_TRUE(Build({Put("a.jsonl", "{\"text\":\"\"}\n{\"text\":\"x\"}\n")}).ok());
  EXPECT_THAT(Documents(), ElementsAre("x"));
  EXPECT_EQ(result_.empty_documents, 1);
}

TEST_F(DatasetBuilderTest, ReadsAnotherField) {
  options_.text_field = "body";
  ASSERT_TRUE(Build({Put("a.jsonl", "{\"body\": \"b\", \"text\": \"t\"}\n")}).ok());
  EXPECT_THAT(Documents(), ElementsAre("b|"));
}

TEST_F(DatasetBuilderTest, ReadsText) {
  const std::string path = Put("a.txt", "\none\ntwo\r\n\n \nthree\n");
  ASSERT_TRUE(Build({path}).ok());
  EXPECT_THAT(Documents(), ElementsAre("\none\ntwo\n\n \nthree|"));
  options_.corpus.documents = TextDocuments::kLines;
  ASSERT_TRUE(Build({path}).ok());
  EXPECT_THAT(Documents(), ElementsAre("one|", "two|", "three|"));
  options_.corpus.documents = TextDocuments::kBlankLines;
  ASSERT_TRUE(Build({path}).ok());
  EXPECT_THAT(Documents(), ElementsAre("one\ntwo|", "three|"));
}

TEST_F(DatasetBuilderTest, KnowsCompressionByContents) {
  const std::string line = "{\"text\": \"abc\"}\n";
  std::string text;
  for (int i = 0; i < 50000; ++i) text += "{\"text\": \"document " + std::to_string(i) + "\"}\n";
  ASSERT_TRUE(Build({Put("plain.jsonl", text + line)}).ok());
  const std::vector<std::string> expected = Documents();
  ASSERT_EQ(expected.size(), 50001);
  for (auto* compress : {Gzip, Xz, Zstd, Lz4}) {
    ASSERT_TRUE(Build({Put("misnamed.jsonl", compress(text) + compress("") + compress(line))}).ok())
        << "streams in a row";
    EXPECT_EQ(Documents(), expected);
    ASSERT_TRUE(Build({Put("empty.jsonl", compress(""))}).ok());
    EXPECT_THAT(Documents(), ElementsAre());
  }
}

TEST_F(DatasetBuilderTest, NamesTheDamagedFile) {
  std::mt19937 random(1);
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "{\"text\": \"" + std::to_string(random()) + "\"}\n";
  for (auto* compress : {Gzip, Xz, Zstd, Lz4}) {
    const std::string whole = compress(text);
    for (size_t size : {whole.size() / 2, whole.size() - 1, whole.size() - 9, size_t{20}}) {
      const absl::Status status = Build({Put("cut.jsonl.z", ""), Put("cut.jsonl", whole.substr(0, size))});
      EXPECT_FALSE(status.ok()) << size;
    }
    const absl::Status cut = Build({Put("cut.jsonl", whole.substr(0, whole.size() / 2))});
    EXPECT_TRUE(absl::IsDataLoss(cut)) << cut;
    EXPECT_THAT(Message(cut), HasSubstr(directory_ + "/cut.jsonl is cut off"));
    std::string damaged = whole;
    for (size_t i = 0; i < 50; ++i) damaged[damaged.size() / 2 + i] ^= 0x5a;
    const absl::Status status = Build({Put("damaged.jsonl", damaged)});
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(Message(status), HasSubstr(directory_ + "/damaged.jsonl"));
    EXPECT_FALSE(Build({Put("tail.jsonl", whole + "garbage after the stream")}).ok());
  }
  EXPECT_FALSE(FileExists(IndexPath(prefix_)));
}

TEST_F(DatasetBuilderTest, BadLinesStopWithFileAndLine) {
  const std::string good = "{\"text\": \"ok\"}\n";
  for (const auto& [bad, reason] : {std::pair<std::string, std::string>{"{\"text\": \"open", "not JSON"},
                                    {"plain words", "not JSON"},
                                    {"{\"text\": \"\xff\"}", "not JSON"},
                                    {"[1, 2]", "expected a JSON object, found array"},
                                    {"{\"body\": \"x\", \"id\": 1}", "no field \"text\" (the fields are: \"body\", \"id\")"},
                                    {"{\"text\": 7}", "holds number, expected a string"},
                                    {std::string(100000, '['), "nested more than 2048 deep"}}) {
    SCOPED_TRACE(bad.substr(0, 30));
    const std::string path = Put("a.jsonl", good + "\n" + bad + "\n" + good);
    options_.skip_bad_lines = false;
    const absl::Status status = Build({path});
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(Message(status), HasSubstr(path + ":3: "));
    EXPECT_THAT(Message(status), HasSubstr(reason));
    options_.skip_bad_lines = true;
    ASSERT_TRUE(Build({path}).ok());
    EXPECT_THAT(Documents(), ElementsAre("ok|", "ok|"));
    EXPECT_EQ(result_.bad_lines, 1);
    EXPECT_THAT(result_.first_bad_lines, ElementsAre(HasSubstr(path + ":3: ")));
  }
}

TEST_F(DatasetBuilderTest, ReadsWhatPythonWrites) {
  const std::string path = Put("a.jsonl",
                               "{\"text\": \"a\", \"score\": NaN, \"low\": [-Infinity, Infinity, 1e999]}\n"
                               "{\"text\": \"first\", \"text\": \"last\"}\n"
                               "{\"text\": \"first\", \"score\": NaN, \"text\": \"last\"}\n" +
                                   ("{\"text\": \"deep\", \"x\": " + std::string(2000, '[') + std::string(2000, ']') + "}\n"));
  ASSERT_TRUE(Build({path}).ok());
  EXPECT_THAT(Documents(), ElementsAre("a|", "last|", "last|", "deep|"));
  options_.text_field = "meta.body";
  ASSERT_TRUE(Build({Put("b.jsonl", "{\"meta\": {\"body\": \"x\", \"body\": \"y\"}}\n{\"meta\": {\"body\": \"z\"}, \"meta\": {\"body\": \"w\"}}\n")}).ok());
  EXPECT_THAT(Documents(), ElementsAre("y|", "w|"));
  options_.text_field = "text";
  EXPECT_THAT(Message(Build({Put("c.jsonl", "{\"text\": \"first\", \"text\": 7}\n")})), HasSubstr("holds number, expected a string"));
}

TEST_F(DatasetBuilderTest, MessagesOfBadLinesArePrintable) {
  EXPECT_THAT(Message(Build({Put("a.jsonl", "{\"text\": \"a\xff\x1b[31m\"}\n")})),
              HasSubstr("the line begins with \"{\\\"text\\\": \\\"a\\xff\\x1b[31m\\\"}\""));
  EXPECT_THAT(Message(Build({Put("a.jsonl", "{\"text\": \"a\", \"b\": \"\\ud800\"}\n")})), HasSubstr("surrogate"));
  for (const char* line : {"{\"text\": \"a\xff\x07\"}\n", "{\"b\\u001b\": 1}\n", "[\"\x1b\"]\n", "\x7f\xc3\n", "{\"text\": \x1b}\n"}) {
    for (const char c : Message(Build({Put("a.jsonl", line)}))) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
  }
}

TEST_F(DatasetBuilderTest, ReadsAFieldInsideOfAnother) {
  options_.text_field = "meta.body";
  const std::string path = Put("a.jsonl",
                               "{\"meta\": {\"id\": 1, \"body\": \"in\"}}\n{\"meta.body\": \"by name\", \"meta\": {}}\n"
                               "{\"id\": 123456789012345678901234567890, \"meta\": {\"body\": \"big\"}}\n");
  ASSERT_TRUE(Build({path}).ok());
  EXPECT_THAT(Documents(), ElementsAre("in|", "by name|", "big|"));
  EXPECT_THAT(Message(Build({Put("b.jsonl", "{\"meta\": \"body\"}\n")})), HasSubstr("no field \"meta.body\""));
}

TEST_F(DatasetBuilderTest, DocumentsLongerThanBlocks) {
  const std::string a(3 << 20, 'a'), b(5 << 20, 'b');
  options_.threads = 2;
  ASSERT_TRUE(Build({Put("a.jsonl",
                         "{\"text\": \"x\"}\n{\"text\": \"" + a + "\"}\n{\"text\": \"" + b + "\"}\n{\"text\": \"y\"}")})
                  .ok());
  EXPECT_TRUE(Documents() == std::vector<std::string>({"x|", a + "|", b + "|", "y|"}));
  options_.corpus.documents = TextDocuments::kBlankLines;
  ASSERT_TRUE(Build({Put("a.txt", "x\n\n" + a + "\n" + b + "\n\t\n \n\ny\n")}).ok());
  EXPECT_TRUE(Documents() == std::vector<std::string>({"x|", a + "\n" + b + "|", "y|"}));
}

TEST_F(DatasetBuilderTest, RefusesParquetByName) {
  EXPECT_THAT(Message(Build({Put("a.parquet", "PAR1")})), HasSubstr("a.parquet is a Parquet file"));
  EXPECT_THAT(Message(Build({Put("misnamed.jsonl", "PAR1....")})), HasSubstr("is a Parquet file"));
}

TEST_F(DatasetBuilderTest, ContinuesWhereAStoppedBuildWas) {
  std::mt19937 random(5);
  std::string text, paragraphs;
  for (int i = 0; i < 20000; ++i) {
    text += "{\"text\": \"" + std::string(random() % 300, 'a' + i % 26) + "\"}\n";
    paragraphs += std::string(random() % 200, 'a' + i % 26) + (i % 3 == 0 ? "\n \n" : "\n");
  }
  options_.corpus.documents = TextDocuments::kBlankLines;
  const std::vector<std::string> inputs = {Put("a.jsonl", text + "bad\n"), Put("b.jsonl.zst", Zstd(text)),
                                           Put("c.txt", paragraphs + paragraphs), Put("d.txt.gz", Gzip(paragraphs))};
  options_.skip_bad_lines = true;
  options_.threads = 2;
  ASSERT_TRUE(Build(inputs).ok());
  const std::string bin = *ReadFile(TokensPath(prefix_)), index = *ReadFile(IndexPath(prefix_));
  const BuildResult whole = result_;
  prefix_ += "_again";
  TokenDatasetWriterOptions job{.job = "{}", .seconds_between_points = 0};
  int runs = 1;
  for (bool done = false; !done; ++runs) {
    ASSERT_LT(runs, 100) << "every run gets a block further";
    auto writer = TokenDatasetWriter::Create(prefix_, TokenType::kUint16, job);
    ASSERT_TRUE(writer.ok()) << writer.status();
    std::stop_source stop;
    stop.request_stop();
    const auto result = BuildDataset(options_, ByteEncoder, writer->get(), stop.get_token());
    if (result.ok()) {
      result_ = *result;
      ASSERT_TRUE((*writer)->Commit().ok());
      done = true;
    } else {
      ASSERT_TRUE(absl::IsCancelled(result.status())) << result.status();
    }
  }
  EXPECT_GT(runs, 8);
  EXPECT_TRUE(*ReadFile(TokensPath(prefix_)) == bin && *ReadFile(IndexPath(prefix_)) == index);
  EXPECT_EQ(result_.bad_lines, 1);
  ASSERT_EQ(result_.sources.size(), 4);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(result_.sources[i].documents, whole.sources[i].documents) << i;
    EXPECT_EQ(result_.sources[i].tokens, whole.sources[i].tokens) << i;
    EXPECT_EQ(result_.sources[i].text_bytes, whole.sources[i].text_bytes) << i;
  }
  EXPECT_FALSE(FileExists(prefix_ + ".partial.journal"));
}

TEST_F(DatasetBuilderTest, ADirectoryThatMayNotBeReadIsNamed) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every directory";
  Put("in/closed/a.txt", "text");
  std::filesystem::permissions(directory_ + "/in/closed", std::filesystem::perms::none);
  const absl::Status status = ExpandInputs({directory_ + "/in"}).status();
  std::filesystem::permissions(directory_ + "/in/closed", std::filesystem::perms::owner_all);
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr(directory_ + "/in/closed"));
}

TEST_F(DatasetBuilderTest, AFailedBuildLeavesNothing) {
  EXPECT_FALSE(Build({Put("a.jsonl", "{\"text\": \"ok\"}\nbad\n")}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(directory_ + "/out"));
}

TEST_F(DatasetBuilderTest, ThreadsDoNotChangeTheBytes) {
  std::mt19937 random(3);
  std::string text;
  for (int i = 0; i < 30000; ++i) text += "{\"text\": \"" + std::string(random() % 400, 'a' + i % 26) + "\"}\n";
  const std::string first = Put("a.jsonl", text), second = Put("b.jsonl.zst", Zstd(text + "{\"text\": \"end\"}"));
  for (int64_t limit : {0, 3000000}) {
    options_.limit_tokens = limit;
    std::string bin, index;
    for (int threads : {1, 2, 5}) {
      options_.threads = threads;
      ASSERT_TRUE(Build({first, second, first}).ok());
      EXPECT_EQ(result_.reached_limit, limit > 0);
      const std::string this_bin = *ReadFile(TokensPath(prefix_)), this_index = *ReadFile(IndexPath(prefix_));
      if (threads == 1) {
        bin = this_bin;
        index = this_index;
      }
      EXPECT_TRUE(bin == this_bin && index == this_index) << threads << " threads, limit " << limit;
    }
    if (limit > 0) {
      EXPECT_GE(bin.size(), 2 * limit);
      EXPECT_LT(bin.size(), 2 * (limit + 500));
    }
  }
}

TEST_F(DatasetBuilderTest, TheLimitComesBeforeALaterError) {
  options_.limit_tokens = 6;
  for (int threads : {1, 5}) {
    options_.threads = threads;
    ASSERT_TRUE(Build({Put("a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\nbad\n")}).ok());
    EXPECT_THAT(Documents(), ElementsAre("one|", "two|"));
  }
}

TEST_F(DatasetBuilderTest, ExpandsDirectoriesAndPatterns) {
  const std::string b = Put("in/b.jsonl", ""), a = Put("in/deep/a.txt.gz", ""), c = Put("in/c.md", "");
  Put("in/picture.png", "");
  EXPECT_THAT(*ExpandInputs({directory_ + "/in"}), ElementsAre(b, c, a));
  EXPECT_THAT(*ExpandInputs({directory_ + "/in/*.md", b}), ElementsAre(c, b));
  EXPECT_TRUE(absl::IsNotFound(ExpandInputs({directory_ + "/in/*.tex"}).status()));
  EXPECT_TRUE(absl::IsNotFound(ExpandInputs({directory_ + "/missing.txt"}).status()));
  ASSERT_TRUE(MakeDirectories(directory_ + "/bare").ok());
  EXPECT_THAT(Message(ExpandInputs({directory_ + "/bare"}).status()), HasSubstr("there is no corpus file under"));
}

TEST_F(DatasetBuilderTest, AsksForAFormatThatTheNameDoesNotTell) {
  const std::string path = Put("corpus.bin", "text");
  EXPECT_THAT(Message(Build({path})), HasSubstr("say --format jsonl or --format text"));
  options_.corpus.format = CorpusFormat::kText;
  ASSERT_TRUE(Build({path}).ok());
  EXPECT_THAT(Documents(), ElementsAre("text|"));
}

}  // namespace
}  // namespace radlads
