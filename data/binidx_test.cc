#include "data/binidx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "base/file.h"
#include "data/dataset_check.h"
#include "data/dataset_info.h"
#include "data/journal.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kGoldens[] = "data/testdata/";
// Where the fields of an index are.
constexpr size_t kVersion = 9, kType = 17, kSequences = 18, kEntries = 26, kSizes = 34;

std::string Contents(const std::string& path) {
  absl::StatusOr<std::string> contents = ReadFile(path);
  EXPECT_TRUE(contents.ok()) << contents.status();
  return contents.value_or("");
}

nlohmann::json Golden() {
  return nlohmann::json::parse(Contents(std::string(kGoldens) + "tiny.json"));
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

class BinidxTest : public ::testing::Test {
 protected:
  BinidxTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "/binidx_" + test->name();
    std::filesystem::remove_all(directory_);
    EXPECT_TRUE(MakeDirectories(directory_).ok());
    prefix_ = directory_ + "/tokens";
  }
  ~BinidxTest() override { SetDiskSpaceForTesting(-1); }

  // A copy of the golden uint16 pair with bytes of the index replaced.
  template <typename T>
  absl::Status OpenWith(size_t offset, T value) {
    std::string index = Contents(std::string(kGoldens) + "tiny_u16.idx");
    std::memcpy(index.data() + offset, &value, sizeof(value));
    return OpenFiles(index, Contents(std::string(kGoldens) + "tiny_u16.bin"));
  }
  absl::Status OpenFiles(const std::string& index, const std::string& bin) {
    EXPECT_TRUE(WriteFileAtomically(IndexPath(prefix_), index).ok());
    EXPECT_TRUE(WriteFileAtomically(TokensPath(prefix_), bin).ok());
    return TokenDataset::Open(prefix_).status();
  }
  void WriteDocuments(TokenType type, const std::vector<std::vector<int32_t>>& documents) {
    auto writer = TokenDatasetWriter::Create(prefix_, type);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const auto& document : documents) {
      absl::Status status = (*writer)->AddDocument(document);
      ASSERT_TRUE(status.ok()) << status;
    }
    absl::Status status = (*writer)->Commit();
    ASSERT_TRUE(status.ok()) << status;
  }
  std::vector<std::string> FilesLeft() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string directory_, prefix_;
};

TEST_F(BinidxTest, ReadsGoldenFilesInBothLayouts) {
  for (const auto& [name, type, complete] :
       {std::tuple("tiny_u16", TokenType::kUint16, true), std::tuple("tiny_i32_rangeN", TokenType::kInt32, false)}) {
    SCOPED_TRACE(name);
    auto dataset = TokenDataset::Open(std::string(kGoldens) + name);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->type(), type);
    EXPECT_EQ((*dataset)->has_complete_document_index(), complete);
    const auto documents = Golden()[name]["documents"].get<std::vector<std::vector<int64_t>>>();
    ASSERT_EQ((*dataset)->documents(), documents.size());
    int64_t begin = 0;
    for (size_t d = 0; d < documents.size(); ++d) {
      EXPECT_EQ((*dataset)->DocumentBegin(d), begin);
      std::vector<int64_t> tokens(documents[d].size());
      ASSERT_TRUE((*dataset)->Read(begin, std::span<int64_t>(tokens)).ok());
      EXPECT_EQ(tokens, documents[d]) << "document " << d;
      std::vector<int32_t> narrow(documents[d].size());
      ASSERT_TRUE((*dataset)->Read(begin, std::span<int32_t>(narrow)).ok());
      EXPECT_TRUE(std::equal(narrow.begin(), narrow.end(), documents[d].begin())) << "document " << d;
      EXPECT_EQ((*dataset)->DocumentOf(begin), d);
      begin += documents[d].size();
      EXPECT_EQ((*dataset)->DocumentOf(begin - 1), d);
    }
    EXPECT_EQ((*dataset)->tokens(), begin);
    EXPECT_EQ((*dataset)->DocumentBegin(documents.size()), begin);
  }
}

TEST_F(BinidxTest, ReadsAcrossDocuments) {
  auto dataset = TokenDataset::Open(std::string(kGoldens) + "tiny_u16");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const nlohmann::json golden = Golden();
  ASSERT_EQ(golden["tiny_u16"]["get"].size(), 4);
  for (const auto& read : golden["tiny_u16"]["get"]) {
    std::vector<int64_t> tokens(read["length"].get<int64_t>());
    ASSERT_TRUE((*dataset)->Read(read["offset"], std::span<int64_t>(tokens)).ok());
    EXPECT_EQ(tokens, read["tokens"].get<std::vector<int64_t>>()) << read;
  }
}

TEST_F(BinidxTest, RefusesReadsOutsideOfTheData) {
  auto dataset = TokenDataset::Open(std::string(kGoldens) + "tiny_u16");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  std::vector<int64_t> tokens(2);
  for (int64_t first : {int64_t{-1}, int64_t{100}, int64_t{101}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_TRUE(absl::IsOutOfRange((*dataset)->Read(first, std::span<int64_t>(tokens)))) << first;
  }
  EXPECT_TRUE((*dataset)->Read(99, std::span<int64_t>(tokens)).ok());
  EXPECT_TRUE((*dataset)->Read(101, std::span<int64_t>()).ok());
}

TEST_F(BinidxTest, WritesTheGoldenBytes) {
  WriteDocuments(TokenType::kUint16, Golden()["tiny_u16"]["documents"].get<std::vector<std::vector<int32_t>>>());
  EXPECT_EQ(Contents(TokensPath(prefix_)), Contents(std::string(kGoldens) + "tiny_u16.bin"));
  EXPECT_EQ(Contents(IndexPath(prefix_)), Contents(std::string(kGoldens) + "tiny_u16.idx"));
  EXPECT_THAT(FilesLeft(), ElementsAre("tokens.bin", "tokens.idx"));
}

TEST_F(BinidxTest, EveryTokenTypeComesBack) {
  for (TokenType type : {TokenType::kUint8, TokenType::kInt8, TokenType::kInt16, TokenType::kInt32, TokenType::kInt64,
                         TokenType::kUint16}) {
    SCOPED_TRACE(TokenTypeName(type));
    WriteDocuments(type, {{1, 127}, {}, {0}});
    auto dataset = TokenDataset::Open(prefix_);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->type(), type);
    EXPECT_EQ((*dataset)->documents(), 3);
    EXPECT_EQ((*dataset)->DocumentOf(2), 2) << "the empty document holds no token";
    std::vector<int32_t> tokens(3);
    ASSERT_TRUE((*dataset)->Read(0, std::span<int32_t>(tokens)).ok());
    EXPECT_THAT(tokens, ElementsAre(1, 127, 0));
  }
}

TEST_F(BinidxTest, ADatasetWithoutDocumentsIsOne) {
  WriteDocuments(TokenType::kUint16, {});
  auto dataset = TokenDataset::Open(prefix_);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->tokens(), 0);
  EXPECT_EQ((*dataset)->documents(), 0);
}

TEST_F(BinidxTest, WriterRefusesIdsThatDoNotFit) {
  auto writer = TokenDatasetWriter::Create(prefix_, TokenType::kUint16);
  ASSERT_TRUE(writer.ok());
  const std::vector<int32_t> large = {1, 65536}, negative = {-1};
  EXPECT_THAT(Message((*writer)->AddDocument(large)), HasSubstr("65536, which uint16 cannot hold"));
  EXPECT_THAT(Message((*writer)->AddDocument(negative)), HasSubstr("-1, which uint16 cannot hold"));
  EXPECT_EQ((*writer)->tokens(), 0);
}

TEST_F(BinidxTest, UncommittedWriterLeavesNothing) {
  {
    auto writer = TokenDatasetWriter::Create(prefix_, TokenType::kUint16);
    ASSERT_TRUE((*writer)->AddDocument(std::vector<int32_t>{1, 2, 3}).ok());
  }
  EXPECT_THAT(FilesLeft(), ElementsAre());
}

TEST_F(BinidxTest, FullDiskKeepsTheOlderDataset) {
  WriteDocuments(TokenType::kUint16, {{1, 2, 3}});
  for (int64_t space : {0, 3, 5, 6, 40, 69}) {
    auto writer = TokenDatasetWriter::Create(prefix_, TokenType::kUint16);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->AddDocument(std::vector<int32_t>{4, 5, 6}).ok());
    SetDiskSpaceForTesting(space);
    EXPECT_TRUE(absl::IsResourceExhausted((*writer)->Commit("{}"))) << space;
    SetDiskSpaceForTesting(-1);
    writer->reset();
    EXPECT_THAT(FilesLeft(), ElementsAre("tokens.bin", "tokens.idx")) << space;
    auto dataset = TokenDataset::Open(prefix_);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    int64_t first = 0;
    ASSERT_TRUE((*dataset)->Read(0, std::span<int64_t>(&first, 1)).ok());
    EXPECT_EQ(first, 1);
  }
}

TEST_F(BinidxTest, ReplacingADatasetRemovesItsDescription) {
  auto writer = TokenDatasetWriter::Create(prefix_, TokenType::kUint16);
  ASSERT_TRUE((*writer)->AddDocument(std::vector<int32_t>{4}).ok());
  ASSERT_TRUE((*writer)->Commit("{}").ok());
  EXPECT_THAT(FilesLeft(), ElementsAre("tokens.bin", "tokens.idx", "tokens.json"));
  WriteDocuments(TokenType::kUint16, {{1, 2, 3}});
  EXPECT_THAT(FilesLeft(), ElementsAre("tokens.bin", "tokens.idx"));
}

// Kills between any two of the steps with which a commit makes the files appear.
TEST_F(BinidxTest, AnInterruptedCommitIsFinished) {
  WriteDocuments(TokenType::kUint16, {{1, 2, 3}, {4}});
  const std::string bin = Contents(TokensPath(prefix_)), index = Contents(IndexPath(prefix_));
  const std::vector<std::function<void()>> steps = {
      [&] { std::filesystem::remove(prefix_ + ".idx"); },
      [&] { std::filesystem::remove(prefix_ + ".json"); },
      [&] { std::filesystem::rename(prefix_ + ".partial.bin", prefix_ + ".bin"); },
      [&] { std::filesystem::rename(prefix_ + ".partial.json", prefix_ + ".json"); },
      [&] { std::filesystem::rename(prefix_ + ".partial.idx", prefix_ + ".idx"); },
      [&] { std::filesystem::remove(prefix_ + ".partial.sizes"); }};
  for (size_t done = 0; done <= steps.size(); ++done) {
    SCOPED_TRACE(done);
    WriteDocuments(TokenType::kUint16, {{9, 9}});
    ASSERT_TRUE(WriteFileAtomically(prefix_ + ".json", "older").ok());
    for (const auto& [name, contents] : {std::pair(".partial.bin", bin),
                                         {".partial.idx", index},
                                         {".partial.json", "newer"},
                                         {".partial.sizes", "...."}}) {
      ASSERT_TRUE(WriteFileAtomically(prefix_ + name, contents).ok());
    }
    {
      auto journal = Journal::Open(prefix_ + ".partial.journal", "{}", false);
      ASSERT_TRUE(journal.ok()) << journal.status();
      ASSERT_TRUE((*journal)->Append("{\"commit\":true}").ok());
    }
    for (size_t i = 0; i < done; ++i) steps[i]();
    const absl::Status status = TokenDatasetWriter::Recover(prefix_);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(Contents(TokensPath(prefix_)), bin);
    EXPECT_EQ(Contents(IndexPath(prefix_)), index);
    EXPECT_EQ(Contents(prefix_ + ".json"), "newer");
    EXPECT_THAT(FilesLeft(), ElementsAre("tokens.bin", "tokens.idx", "tokens.json"));
    EXPECT_TRUE(TokenDatasetWriter::Recover(prefix_).ok()) << "there is nothing left to do";
  }
}

TEST_F(BinidxTest, AWriterContinuesAtTheLastPointThatHolds) {
  const TokenDatasetWriterOptions job{.job = "{\"verb\":\"test\"}"};
  auto write_points = [&] {
    auto writer = TokenDatasetWriter::Create(prefix_, TokenType::kUint16, job);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int i = static_cast<int>((*writer)->cursors().size()); i < 3; ++i) {
      ASSERT_TRUE((*writer)->AddDocument(std::vector<int32_t>{i, i, i}).ok());
      ASSERT_TRUE((*writer)->Checkpoint(std::to_string(i)).ok());
    }
    ASSERT_TRUE((*writer)->AddDocument(std::vector<int32_t>{8}).ok()) << "after the last point: lost";
  };
  write_points();
  for (const auto& [damaged_byte, points] : {std::pair(-1, 3), {13, 2}, {7, 1}, {0, 0}}) {
    SCOPED_TRACE(damaged_byte);
    if (damaged_byte >= 0) {
      std::string bin = Contents(prefix_ + ".partial.bin");
      bin[damaged_byte] ^= 1;
      ASSERT_TRUE(WriteFileAtomically(prefix_ + ".partial.bin", bin).ok());
    }
    {
      auto writer = TokenDatasetWriter::Create(prefix_, TokenType::kUint16, job);
      ASSERT_TRUE(writer.ok()) << writer.status();
      EXPECT_EQ((*writer)->cursors().size(), points);
      EXPECT_EQ((*writer)->documents(), points);
      EXPECT_EQ((*writer)->tokens(), 3 * points);
    }
    write_points();
  }
  // Lost tokens are lost points too.
  std::filesystem::resize_file(prefix_ + ".partial.sizes", 9);
  auto writer = TokenDatasetWriter::Create(prefix_, TokenType::kUint16, job);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_THAT((*writer)->cursors(), ElementsAre("0", "1"));
  ASSERT_TRUE((*writer)->AddDocument(std::vector<int32_t>{2, 2, 2}).ok());
  ASSERT_TRUE((*writer)->Commit().ok());
  EXPECT_THAT(FilesLeft(), ElementsAre("tokens.bin", "tokens.idx"));
  const std::string bin = Contents(TokensPath(prefix_)), index = Contents(IndexPath(prefix_));
  WriteDocuments(TokenType::kUint16, {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}});
  EXPECT_EQ(Contents(TokensPath(prefix_)), bin);
  EXPECT_EQ(Contents(IndexPath(prefix_)), index);
}

TEST_F(BinidxTest, RefusesMissingFiles) {
  EXPECT_THAT(Message(TokenDataset::Open(prefix_).status()), HasSubstr("there is no " + IndexPath(prefix_)));
}

TEST_F(BinidxTest, RefusesShortAndLongTokens) {
  const std::string index = Contents(std::string(kGoldens) + "tiny_u16.idx");
  const std::string bin = Contents(std::string(kGoldens) + "tiny_u16.bin");
  for (const std::string& wrong :
       {bin.substr(0, bin.size() - 2), bin.substr(0, 201), std::string(), bin + "ab", bin + bin}) {
    const absl::Status status = OpenFiles(index, wrong);
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(Message(status), HasSubstr(" has " + std::to_string(wrong.size()) + " bytes"));
    EXPECT_THAT(Message(status), HasSubstr("describes 202"));
  }
}

TEST_F(BinidxTest, RefusesEveryTruncationOfTheIndex) {
  const std::string index = Contents(std::string(kGoldens) + "tiny_u16.idx");
  const std::string bin = Contents(std::string(kGoldens) + "tiny_u16.bin");
  for (size_t size = 0; size < index.size(); ++size) {
    EXPECT_FALSE(OpenFiles(index.substr(0, size), bin).ok()) << size << " of " << index.size() << " bytes";
  }
  EXPECT_TRUE(absl::IsDataLoss(OpenFiles(index + "x", bin)));
  EXPECT_TRUE(absl::IsUnimplemented(OpenFiles(index + std::string(7, '\0'), bin))) << "modes of a multimodal dataset";
}

TEST_F(BinidxTest, RefusesDamagedHeaders) {
  EXPECT_THAT(Message(OpenWith(0, 'X')), HasSubstr("does not begin with"));
  EXPECT_THAT(Message(OpenWith<uint64_t>(kVersion, 2)), HasSubstr("version 2, expected 1"));
  for (uint8_t code : {0, 6, 7, 9, 255}) {
    EXPECT_THAT(Message(OpenWith<uint8_t>(kType, code)), HasSubstr("type code " + std::to_string(code)));
  }
  for (uint64_t count : {uint64_t{1} << 60, uint64_t{1} << 62, ~uint64_t{0}, uint64_t{8}}) {
    EXPECT_FALSE(OpenWith<uint64_t>(kSequences, count).ok()) << count;
    EXPECT_THAT(Message(OpenWith<uint64_t>(kSequences, count)), HasSubstr("announces " + std::to_string(count)));
  }
  for (uint64_t count : {uint64_t{1} << 60, ~uint64_t{0}, uint64_t{9}}) {
    EXPECT_THAT(Message(OpenWith<uint64_t>(kEntries, count)),
                HasSubstr("announces 7 sequences and " + std::to_string(count)));
  }
}

TEST_F(BinidxTest, RefusesDamagedSequences) {
  const size_t pointers = kSizes + 7 * 4, documents = pointers + 7 * 8;
  EXPECT_THAT(Message(OpenWith<int64_t>(pointers + 2 * 8, 0)), HasSubstr("sequence 2 of 7"));
  EXPECT_THAT(Message(OpenWith<int64_t>(pointers + 2 * 8, -8)), HasSubstr("sequence 2 of 7"));
  EXPECT_THAT(Message(OpenWith<int64_t>(pointers, 2)), HasSubstr("sequence 0 of 7"));
  EXPECT_THAT(Message(OpenWith<int64_t>(pointers + 6 * 8, int64_t{1} << 62)), HasSubstr("damaged"));
  EXPECT_THAT(Message(OpenWith<int32_t>(kSizes + 3 * 4, -17)), HasSubstr("sequence 3 of 7 has -17 tokens"));
  EXPECT_THAT(Message(OpenWith<int32_t>(kSizes + 3 * 4, 16)), HasSubstr("sequence 4 of 7"));
  EXPECT_THAT(Message(OpenWith<int64_t>(documents, 1)), HasSubstr("entry 0 of the document index is 1"));
  EXPECT_THAT(Message(OpenWith<int64_t>(documents + 3 * 8, 9)), HasSubstr("entry 3 of the document index is 9"));
  EXPECT_THAT(Message(OpenWith<int64_t>(documents + 3 * 8, 1)), HasSubstr("entry 3 of the document index is 1"));
  EXPECT_THAT(Message(OpenWith<int64_t>(documents + 7 * 8, 6)), HasSubstr("ends with 6, expected it to end with 7"));
}

// Whatever the index holds, Open says no or yields a dataset whose every document can be read.
TEST_F(BinidxTest, SurvivesRandomDamage) {
  std::mt19937_64 random(1);
  const std::string bin = Contents(std::string(kGoldens) + "tiny_u16.bin");
  int opened = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string index = Contents(std::string(kGoldens) + (round % 2 ? "tiny_u16.idx" : "tiny_i32_rangeN.idx"));
    for (int change = random() % 4; change >= 0; --change) index[random() % index.size()] = static_cast<char>(random());
    if (random() % 4 == 0) index.resize(random() % (index.size() + 20));
    if (!OpenFiles(index, bin).ok()) continue;
    auto dataset = TokenDataset::Open(prefix_);
    ASSERT_TRUE(dataset.ok());
    ++opened;
    for (int64_t d = 0; d < (*dataset)->documents(); ++d) {
      const int64_t begin = (*dataset)->DocumentBegin(d), end = (*dataset)->DocumentBegin(d + 1);
      ASSERT_LE(begin, end);
      std::vector<int64_t> tokens(end - begin);
      ASSERT_TRUE((*dataset)->Read(begin, std::span<int64_t>(tokens)).ok());
    }
    FindProblems(**dataset, {.vocabulary_size = 100, .eos_id = 7});
  }
  EXPECT_LT(opened, 1500);
}

TEST_F(BinidxTest, FindsIdsOutsideOfTheVocabulary) {
  WriteDocuments(TokenType::kInt32, {{1, 2, 0}, {5, 99, 0}, {-3, 0}});
  auto dataset = TokenDataset::Open(prefix_);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->FindOutsiders(100).count, 1);
  const TokenDataset::Outsiders found = (*dataset)->FindOutsiders(50);
  EXPECT_EQ(found.count, 2);
  EXPECT_EQ(found.first_position, 4);
  EXPECT_EQ(found.first_id, 99);
  EXPECT_THAT(Message((*dataset)->CheckVocabulary(50)),
              HasSubstr("token 4 (document 1) is 99, outside of the vocabulary of 50"));
  WriteDocuments(TokenType::kUint16, {{1, 49, 0}});
  EXPECT_TRUE((*TokenDataset::Open(prefix_))->CheckVocabulary(50).ok());
  EXPECT_FALSE((*TokenDataset::Open(prefix_))->CheckVocabulary(49).ok());
}

TEST_F(BinidxTest, ListsAllProblems) {
  WriteDocuments(TokenType::kUint16, {{1, 0}, {}, {99, 3}});
  DatasetInfo info;
  info.tokens = 5;
  info.documents = 3;
  ASSERT_TRUE(WriteFileAtomically(DatasetInfoPath(prefix_), info.ToJson()).ok());
  auto dataset = TokenDataset::Open(prefix_);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_THAT(FindProblems(**dataset, {.vocabulary_size = 50, .eos_id = 0}),
              ElementsAre(HasSubstr("is 99, outside"), HasSubstr("1 of 3 documents have no token"),
                          HasSubstr("1 of 3 documents do not end with"),
                          HasSubstr("describes 5 tokens in 3 documents, found 4")));
  auto golden = TokenDataset::Open(std::string(kGoldens) + "tiny_u16");
  EXPECT_THAT(FindProblems(**golden, {.vocabulary_size = 65536, .eos_id = 65535}), ElementsAre());
  auto reference = TokenDataset::Open(std::string(kGoldens) + "tiny_i32_rangeN");
  EXPECT_THAT(FindProblems(**reference, {.vocabulary_size = 151936, .eos_id = 151643}),
              ElementsAre(HasSubstr("7 entries, expected 8")));
}

TEST_F(BinidxTest, DescriptionComesBackAndGuardsTheTokenizer) {
  EXPECT_TRUE(CheckTokenizer(prefix_, "t", "1234").ok()) << "nothing is known";
  DatasetInfo info{.tokenizer = "models/t",
                   .tokenizer_hash = "abcd",
                   .vocabulary_size = 50,
                   .eos_id = 7,
                   .sources = {{"a.jsonl", 1, 2, 9}, {"b\xff.txt", 0, 1, 4}},
                   .tokens = 3,
                   .documents = 1,
                   .tokens_crc32c = 77,
                   .job = "beef",
                   .created = "2025-01-02T03:04:05Z"};
  ASSERT_TRUE(WriteFileAtomically(DatasetInfoPath(prefix_), info.ToJson()).ok());
  auto read = ReadDatasetInfo(prefix_);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->eos_id, 7);
  EXPECT_EQ((*read)->vocabulary_size, 50);
  ASSERT_EQ((*read)->sources.size(), 2);
  EXPECT_EQ((*read)->sources[0].text_bytes, 9);
  EXPECT_EQ((*read)->tokens_crc32c, 77);
  EXPECT_EQ((*read)->job, "beef");
  EXPECT_TRUE(CheckTokenizer(prefix_, "t", "abcd").ok());
  EXPECT_THAT(Message(CheckTokenizer(prefix_, "other", "1234")),
              HasSubstr("made with the tokenizer models/t (hash abcd"));
  for (const char* wrong :
       {"", "[]", "{", "{\"version\": 2}", "{\"version\": 3}", "{\"version\": 1, \"tokenizer\": 3}"}) {
    ASSERT_TRUE(WriteFileAtomically(DatasetInfoPath(prefix_), wrong).ok());
    EXPECT_THAT(Message(ReadDatasetInfo(prefix_).status()), HasSubstr("tokens.json")) << wrong;
  }
}

}  // namespace
}  // namespace radlads
