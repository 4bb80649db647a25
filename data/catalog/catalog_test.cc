#include "data/catalog/catalog.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/catalog/shard_files.h"
#include "data/dataset_info.h"
#include "data/token_sequence.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string WritePair(const std::string& prefix, int64_t tokens, const std::string& tokenizer_hash = "",
                      int32_t first = 0) {
  auto writer = TokenDatasetWriter::Create(prefix, TokenType::kUint16);
  RADLADS_CHECK(writer.ok()) << writer.status();
  std::vector<int32_t> document(tokens);
  for (int32_t& token : document) token = first++ % 50'000;
  RADLADS_CHECK((*writer)->AddDocument(document).ok());
  DatasetInfo info;
  info.tokenizer = "tokenizers/" + tokenizer_hash;
  info.tokenizer_hash = tokenizer_hash;
  info.vocabulary_size = 50'000;
  info.eos_id = 7;
  info.sources = {{.name = "corpus.jsonl", .documents = 1, .tokens = tokens, .text_bytes = -1}};
  info.tokens = tokens;
  info.documents = 1;
  info.created = "2025-01-02T03:04:05Z";
  const absl::Status status = (*writer)->Commit(tokenizer_hash.empty() ? "" : info.ToJson());
  RADLADS_CHECK(status.ok()) << status;
  return prefix;
}

class CatalogTest : public ::testing::Test {
 protected:
  CatalogTest()
      : directory_(fs::path(::testing::TempDir() + "/catalog-" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name())
                       .lexically_normal()),
        path_(directory_ + "/catalog") {
    fs::remove_all(directory_);
    EXPECT_TRUE(MakeDirectories(directory_).ok());
  }

  std::unique_ptr<CatalogWriter> Open() {
    auto writer = CatalogWriter::Open(path_);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }
  static absl::Status Import(CatalogWriter& writer, const std::string& dataset, const std::string& prefix) {
    auto shard = DescribeShard(prefix);
    RADLADS_RETURN_IF_ERROR(shard.status());
    return writer.Add(dataset, *shard);
  }
  void ImportOne(const std::string& dataset, const std::string& prefix) {
    const absl::Status status = Import(*Open(), dataset, prefix);
    EXPECT_TRUE(status.ok()) << status;
  }
  Catalog Read() {
    auto catalog = Catalog::Read(path_);
    EXPECT_TRUE(catalog.ok()) << catalog.status();
    return *catalog;
  }
  std::string Pair(const std::string& name) const { return directory_ + "/" + name; }

  // Changes the database without the catalog.
  void Poke(const std::string& key, const std::string& value) {
    rocksdb::DB* database = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(rocksdb::Options(), path_ + "/index", &database).ok());
    ASSERT_TRUE(database->Put(rocksdb::WriteOptions(), key, value).ok());
    delete database;
  }

  const std::string directory_, path_;
};

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST_F(CatalogTest, HoldsWhatWasImported) {
  const std::string first = WritePair(Pair("a"), 5000, "11aa"), second = WritePair(Pair("b"), 3000, "11aa", 100);
  ImportOne("general", first);
  ImportOne("general", second);
  ImportOne("other", WritePair(Pair("c"), 100));
  const Catalog catalog = Read();
  ASSERT_EQ(catalog.datasets().size(), 2);
  const CatalogDataset& general = **catalog.Find("general");
  EXPECT_EQ(general.record.tokens(), 8000);
  EXPECT_EQ(general.record.documents(), 2);
  EXPECT_EQ(general.record.tokenizer(), "tokenizers/11aa");
  EXPECT_EQ(general.record.vocabulary_size(), 50'000);
  EXPECT_EQ(general.record.eos_id(), 7);
  ASSERT_EQ(general.record.magic_primes_size(), 3);  // 8000 tokens are too few for 4096
  EXPECT_EQ(general.record.magic_primes(0).ctx_len(), 512);
  EXPECT_EQ(general.record.magic_primes(0).prime(), 11);
  ASSERT_EQ(general.shards.size(), 2);
  const catalog::Shard& shard = general.shards.at(1);
  EXPECT_EQ(shard.prefix(), second);
  EXPECT_EQ(shard.token_type(), "uint16");
  EXPECT_EQ(shard.created(), "2025-01-02T03:04:05Z");
  EXPECT_EQ(shard.sources(0).name(), "corpus.jsonl");
  EXPECT_EQ(shard.sources(0).tokens(), 3000);
  EXPECT_EQ(shard.bin().bytes(), 6000);
  EXPECT_EQ(shard.bin().crc32c_size(), 1);
  EXPECT_TRUE(CheckContents("general", shard, catalog.PrefixOf(shard)).ok());
  EXPECT_TRUE(TokenSequence::OpenCataloged(catalog, "general").ok());
  EXPECT_THAT(Message(catalog.Find("genral").status()), AllOf(HasSubstr("did you mean general?"), HasSubstr("other")));
}

TEST_F(CatalogTest, PathsNameACatalogAndADataset) {
  ImportOne("general", WritePair(Pair("a"), 500));
  const auto path = ParseCatalogPath(path_ + "/general");
  ASSERT_TRUE(path.has_value());
  EXPECT_EQ(path->directory, path_);
  EXPECT_EQ(path->name, "general");
  EXPECT_FALSE(ParseCatalogPath(Pair("a")).has_value());
  EXPECT_FALSE(ParseCatalogPath("general").has_value());
  EXPECT_FALSE(ParseCatalogPath("").has_value());
  EXPECT_THAT(Message(Catalog::Read(directory_).status()), HasSubstr("there is no catalog at " + directory_));
}

TEST_F(CatalogTest, RefusesWhatDoesNotBelong) {
  auto writer = Open();
  const std::string a = WritePair(Pair("a"), 500, "11aa");
  ASSERT_TRUE(Import(*writer, "general", a).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Import(*writer, "general", a)));
  EXPECT_THAT(Message(Import(*writer, "general", WritePair(Pair("b"), 500, "22bb"))),
              AllOf(HasSubstr("tokenizers/11aa"), HasSubstr("tokenizers/22bb")));
  EXPECT_THAT(Message(Import(*writer, "general", WritePair(Pair("c"), 500))), HasSubstr("an unknown tokenizer"));
  for (const std::string& name : {std::string(), std::string(".."), std::string("a/b"), std::string("a b"),
                                  std::string(101, 'a'), std::string("-a")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Import(*writer, name, Pair("b")))) << name;
  }
  EXPECT_TRUE(absl::IsNotFound(Import(*writer, "general", Pair("nothing"))));
  EXPECT_TRUE(absl::IsInvalidArgument(Import(*writer, "empty", WritePair(Pair("e"), 0))));
  EXPECT_EQ(writer->contents().datasets().size(), 1);
  EXPECT_THAT(Message(CatalogWriter::Open(directory_).status()), HasSubstr("is not a catalog, and not empty"));
}

TEST_F(CatalogTest, ASecondWriterIsToldWhoWrites) {
  auto writer = Open();
  const absl::Status second = CatalogWriter::Open(path_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second));
  EXPECT_THAT(Message(second), HasSubstr(Concatenate("is being written by process ", ::getpid(), " (catalog_test")));
  writer.reset();
  EXPECT_TRUE(CatalogWriter::Open(path_).ok());
}

TEST_F(CatalogTest, ManyReadWhileOneWrites) {
  constexpr int kShards = 30;
  for (int i = 0; i < kShards; ++i) WritePair(Pair(Concatenate("s", i)), 100 + i);
  Open().reset();
  std::atomic<bool> done{false};
  std::atomic<int64_t> reads{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      int64_t last = 0;
      while (!done) {
        auto catalog = Catalog::Read(path_);
        ASSERT_TRUE(catalog.ok()) << catalog.status();
        if (catalog->datasets().empty()) {
          ASSERT_EQ(last, 0) << "the dataset vanished";
          continue;
        }
        // Whole batches only, and never an older state than before.
        const CatalogDataset& dataset = **catalog->Find("all");
        ASSERT_GE(dataset.record.tokens(), last);
        last = dataset.record.tokens();
        ++reads;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  for (int i = 0; i < kShards;) {
    auto writer = Open();  // opening and closing moves files
    for (int j = 0; j < 3; ++j, ++i) EXPECT_TRUE(Import(*writer, "all", Pair(Concatenate("s", i))).ok());
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(reads, 0);
  EXPECT_EQ((*Read().Find("all"))->shards.size(), kShards);
}

TEST_F(CatalogTest, ChangedAndRemovedFilesAreNamed) {
  ImportOne("general", WritePair(Pair("a"), 500));
  ImportOne("sound", WritePair(Pair("sound"), 500));
  const Catalog catalog = Read();
  const CatalogDataset& general = **catalog.Find("general");
  const catalog::Shard& shard = general.shards.at(0);
  const std::string bin = TokensPath(Pair("a"));
  const auto time = fs::last_write_time(bin);
  const std::string contents = *ReadFile(bin);

  // Another time, the same contents: refused at a glance, accepted after a look.
  fs::last_write_time(bin, time + std::chrono::seconds(5));
  EXPECT_THAT(Message(catalog.CheckUnchanged(general)),
              AllOf(HasSubstr(bin), HasSubstr("dataset " + path_ + "/general"), HasSubstr("--restamp")));
  EXPECT_THAT(Message(TokenSequence::OpenCataloged(catalog, "general").status()), HasSubstr(bin));
  EXPECT_TRUE(CheckContents("general", shard, Pair("a")).ok());
  ASSERT_TRUE(Open()->RestampShard("general", 0).ok());
  const Catalog restamped = Read();
  EXPECT_TRUE(restamped.CheckUnchanged(**restamped.Find("general")).ok());

  // Other contents with the size and time of before: only the checksums see it.
  std::string changed = contents;
  changed[600] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(bin, changed).ok());
  fs::last_write_time(bin, time);
  EXPECT_TRUE(catalog.CheckUnchanged(general).ok());
  EXPECT_THAT(Message(CheckContents("general", shard, Pair("a"))),
              AllOf(HasSubstr("dataset general"), HasSubstr(bin), HasSubstr("bytes 0 to 1000"), HasSubstr("CRC-32C")));

  // Another size.
  ASSERT_TRUE(WriteFileAtomically(bin, contents + "xx").ok());
  EXPECT_THAT(Message(catalog.CheckUnchanged(general)), HasSubstr("has 1002 bytes, expected 1000"));

  fs::remove(bin);
  EXPECT_THAT(Message(catalog.CheckUnchanged(general)), HasSubstr(bin + " is gone"));
  EXPECT_THAT(Message(CheckContents("general", shard, Pair("a"))), HasSubstr(bin));
  // The catalog is intact: it says so, keeps the record, and the other dataset is as it was.
  EXPECT_THAT(Open()->repairs(), ElementsAre(HasSubstr(bin + " is gone")));
  EXPECT_EQ(Read().datasets().size(), 2);
  EXPECT_TRUE(TokenSequence::OpenCataloged(Read(), "sound").ok());
  // And the file can come back.
  ASSERT_TRUE(WriteFileAtomically(bin, contents).ok());
  fs::last_write_time(bin, time);
  EXPECT_TRUE(TokenSequence::OpenCataloged(catalog, "general").ok());
}

TEST_F(CatalogTest, OwnedFilesComeAndGoWithTheirShard) {
  auto writer = Open();
  catalog::Shard known;
  known.set_tokenizer_hash("33cc");
  auto prefix = writer->Begin("made", known);
  ASSERT_TRUE(prefix.ok()) << prefix.status();
  auto other = writer->Begin("made");
  ASSERT_TRUE(other.ok());
  EXPECT_NE(*prefix, *other);
  EXPECT_TRUE(absl::IsNotFound(writer->Publish(*prefix)));  // nothing was written
  WritePair(*prefix, 500);
  WritePair(*other, 700);
  ASSERT_TRUE(writer->Publish(*prefix).ok());
  EXPECT_FALSE(writer->Publish(*prefix).ok());
  EXPECT_EQ((*Read().Find("made"))->record.tokens(), 500);
  EXPECT_EQ((*Read().Find("made"))->record.tokenizer_hash(), "33cc");
  ASSERT_TRUE(writer->Abandon(*other).ok());
  EXPECT_FALSE(FileExists(IndexPath(*other)));
  auto shard = DescribeShard(WritePair(Pair("b"), 300));
  ASSERT_TRUE(shard.ok());
  shard->set_tokenizer_hash("33cc");
  ASSERT_TRUE(writer->Add("made", *shard).ok());
  // The catalog can be moved: its own files are found by relative names.
  writer.reset();
  fs::rename(path_, path_ + "-moved");
  auto moved = Catalog::Read(path_ + "-moved");
  ASSERT_TRUE(moved.ok());
  EXPECT_TRUE(TokenSequence::OpenCataloged(*moved, "made").ok());
  fs::rename(path_ + "-moved", path_);
  writer = Open();
  ASSERT_TRUE(writer->RemoveShard("made", 0).ok());
  EXPECT_FALSE(FileExists(TokensPath(*prefix)));
  EXPECT_EQ((*Read().Find("made"))->record.tokens(), 300);
  EXPECT_TRUE(absl::IsNotFound(writer->RemoveShard("made", 0)));
  ASSERT_TRUE(writer->RemoveDataset("made").ok());
  EXPECT_TRUE(FileExists(TokensPath(Pair("b")))) << "imported files stay";
  EXPECT_TRUE(Read().datasets().empty());
}

TEST_F(CatalogTest, ADamagedValueStopsItsDatasetOnly) {
  ImportOne("bad", WritePair(Pair("a"), 500));
  ImportOne("good", WritePair(Pair("b"), 500));
  Poke("shard/bad/0000000000", "\xff\xff\xff");
  const Catalog catalog = Read();
  EXPECT_TRUE(absl::IsDataLoss(catalog.Find("bad").status()));
  EXPECT_THAT(Message(catalog.Find("bad").status()), HasSubstr("shard/bad/0000000000"));
  EXPECT_TRUE(TokenSequence::OpenCataloged(catalog, "good").ok());
  auto writer = Open();
  EXPECT_THAT(writer->repairs(), ElementsAre(HasSubstr("shard/bad/0000000000")));
  EXPECT_TRUE(absl::IsDataLoss(Import(*writer, "bad", Pair("b"))));
  EXPECT_TRUE(writer->RemoveDataset("bad").ok());
  EXPECT_TRUE(Import(*writer, "bad", Pair("a")).ok());
}

TEST_F(CatalogTest, AMissingShardAndAnUnsoundOneAreSeen) {
  ImportOne("bad", WritePair(Pair("a"), 500));
  catalog::Shard shard = (*Read().Find("bad"))->shards.at(0);
  shard.mutable_bin()->set_block_bytes(0);
  Poke("shard/bad/0000000000", shard.SerializeAsString());
  EXPECT_THAT(Message(Read().Find("bad").status()), HasSubstr("shard/bad/0000000000"));
  catalog::Dataset record;
  record.set_tokens(10);
  Poke("dataset/lonely", record.SerializeAsString());
  EXPECT_THAT(Message(Read().Find("lonely").status()), HasSubstr("10 tokens"));
  Poke("strange", "x");
  EXPECT_THAT(Message(Catalog::Read(path_).status()), HasSubstr("\"strange\""));
}

TEST_F(CatalogTest, FieldsOfTheFutureSurviveAndVersionsOfTheFutureAreRefused) {
  ImportOne("general", WritePair(Pair("a"), 500));
  // Field 100, a varint, of a radlads to come.
  const std::string record = (*Read().Find("general"))->record.SerializeAsString();
  Poke("dataset/general", record + "\xa0\x06\x2a");
  ImportOne("general", WritePair(Pair("b"), 500));
  EXPECT_THAT((*Read().Find("general"))->record.SerializeAsString(), HasSubstr("\xa0\x06\x2a"));
  for (const char* version : {"2", "0", "", "x"}) {
    Poke("version", version);
    EXPECT_THAT(Message(Catalog::Read(path_).status()),
                HasSubstr(Concatenate("is a catalog of version '", version, "', expected 1")));
    EXPECT_TRUE(absl::IsFailedPrecondition(CatalogWriter::Open(path_).status()));
  }
  Poke("version", "1");
  EXPECT_EQ((*Read().Find("general"))->shards.size(), 2);
}

TEST_F(CatalogTest, ADamagedDatabaseIsNamed) {
  ImportOne("general", WritePair(Pair("a"), 500));
  std::ofstream(path_ + "/index/CURRENT") << "MANIFEST-999999\n";
  const absl::Status status = Catalog::Read(path_).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(Message(status), HasSubstr(path_ + "/index"));
  EXPECT_FALSE(CatalogWriter::Open(path_).ok());
  EXPECT_TRUE(TokenDataset::Open(Pair("a")).ok());
}

// Where a process is killed in the crash tests below.
enum class CrashPoint { kBegun, kTokensWritten, kWhole, kPublished, kRemovalBegun, kEnd };

// Runs in a process of its own: makes a shard, and dies on the way.
[[noreturn]] void MakeAndDie(const std::string& path, CrashPoint point) {
  const auto die_at = [&](CrashPoint here) {
    if (here == point) ::kill(::getpid(), SIGKILL);
  };
  auto writer = CatalogWriter::Open(path);
  RADLADS_CHECK(writer.ok()) << writer.status();
  auto prefix = (*writer)->Begin("made");
  RADLADS_CHECK(prefix.ok()) << prefix.status();
  die_at(CrashPoint::kBegun);
  if (point == CrashPoint::kTokensWritten) {
    std::ofstream(TokensPath(*prefix)) << "tokens";
    std::ofstream(IndexPath(*prefix) + ".staged.123") << "MMIDIDX";
    die_at(CrashPoint::kTokensWritten);
  }
  WritePair(*prefix, 500);
  die_at(CrashPoint::kWhole);
  RADLADS_CHECK((*writer)->Publish(*prefix).ok());
  die_at(CrashPoint::kPublished);
  // The batch of a removal is written, the files are not gone: what a kill inside of RemoveShard leaves.
  const std::string copy = *ReadFile(TokensPath(*prefix));
  RADLADS_CHECK((*writer)->RemoveShard("made", 0).ok());
  std::ofstream(TokensPath(*prefix)) << copy;
  writer->reset();
  rocksdb::DB* database = nullptr;
  RADLADS_CHECK(rocksdb::DB::Open(rocksdb::Options(), path + "/index", &database).ok());
  catalog::Intent intent;
  intent.set_prefix("shards/made-0000000000");
  intent.set_remove(true);
  RADLADS_CHECK(database->Put({}, "intent/made/0000000000", intent.SerializeAsString()).ok());
  die_at(CrashPoint::kRemovalBegun);
  std::abort();
}

class CatalogCrashTest : public CatalogTest, public ::testing::WithParamInterface<int> {};

// Killed anywhere, the catalog holds the shard whole or not at all, and no file without a shard is left.
TEST_P(CatalogCrashTest, IsRepairedAtOpen) {
  const CrashPoint point = static_cast<CrashPoint>(GetParam());
  const std::string log = directory_ + "/child.log", argument = Concatenate("--crash=", GetParam(), ":", path_);
  const pid_t child = ::fork();
  if (child == 0) {
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT, 0644);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execl("/proc/self/exe", "catalog_test", argument.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status << "\n" << ReadFile(log).value_or("");

  // Before the repair a reader sees whole shards only.
  const bool visible = point == CrashPoint::kPublished;
  EXPECT_EQ(Read().datasets().size(), visible ? 1 : 0);
  const auto writer = Open();
  const bool whole = visible || point == CrashPoint::kWhole;
  if (visible) {
    EXPECT_THAT(writer->repairs(), IsEmpty());
  } else {
    EXPECT_THAT(writer->repairs(), ElementsAre(HasSubstr(point == CrashPoint::kWhole          ? "is published now"
                                                         : point == CrashPoint::kRemovalBegun ? "was finished"
                                                                                              : "is removed")));
  }
  EXPECT_EQ(Read().datasets().size(), whole ? 1 : 0);
  EXPECT_EQ(TokenSequence::OpenCataloged(Read(), "made").ok(), whole);
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path_ + "/shards")) files.push_back(entry.path().filename().string());
  EXPECT_EQ(files.size(), whole ? 2 : 0) << ::testing::PrintToString(files);
  // And it goes on as if nothing had happened.
  auto prefix = writer->Begin("made");
  ASSERT_TRUE(prefix.ok());
  WritePair(*prefix, 100);
  EXPECT_TRUE(writer->Publish(*prefix).ok());
  EXPECT_EQ((*Read().Find("made"))->record.tokens(), whole ? 600 : 100);
}
INSTANTIATE_TEST_SUITE_P(Points, CatalogCrashTest, ::testing::Range(0, static_cast<int>(CrashPoint::kEnd)));

TEST_F(CatalogTest, AFullDiskLeavesWhatWasThere) {
  ImportOne("general", WritePair(Pair("a"), 500));
  auto writer = Open();
  auto prefix = writer->Begin("made");
  ASSERT_TRUE(prefix.ok());
  SetDiskSpaceForTesting(100);
  auto tokens = TokenDatasetWriter::Create(*prefix, TokenType::kUint16);
  ASSERT_TRUE(tokens.ok());
  absl::Status status = (*tokens)->AddDocument(std::vector<int32_t>(500, 1));
  if (status.ok()) status = (*tokens)->Commit();
  SetDiskSpaceForTesting(-1);
  EXPECT_FALSE(status.ok());
  tokens->reset();
  EXPECT_FALSE(writer->Publish(*prefix).ok());
  EXPECT_TRUE(writer->Abandon(*prefix).ok());
  EXPECT_TRUE(fs::is_empty(path_ + "/shards"));
  EXPECT_TRUE(TokenSequence::OpenCataloged(Read(), "general").ok());
  EXPECT_EQ(Read().datasets().size(), 1);
}

TEST_F(CatalogTest, FilesOfNobodyAreReportedAndLeft) {
  Open().reset();
  std::ofstream(path_ + "/shards/mine.bin") << "x";
  EXPECT_THAT(Open()->repairs(), ElementsAre(HasSubstr("mine.bin: belongs to no shard")));
  EXPECT_TRUE(FileExists(path_ + "/shards/mine.bin"));
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  constexpr char kCrash[] = "--crash=";
  if (argc == 2 && std::strncmp(argv[1], kCrash, sizeof(kCrash) - 1) == 0) {
    const std::string argument = argv[1] + sizeof(kCrash) - 1;
    const size_t colon = argument.find(':');
    radlads::MakeAndDie(argument.substr(colon + 1),
                        static_cast<radlads::CrashPoint>(std::stoi(argument.substr(0, colon))));
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
