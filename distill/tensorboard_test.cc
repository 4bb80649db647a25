#include "distill/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "base/file.h"

namespace radlads {
namespace {

template <typename T>
T Read(std::string_view& bytes) {
  EXPECT_GE(bytes.size(), sizeof(T));
  T value{};
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes.remove_prefix(sizeof(T));
  return value;
}

uint64_t ReadVarint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const uint8_t byte = Read<uint8_t>(bytes);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

// Fields of a message: number -> raw contents (varints and fixed values as 8 bytes).
std::multimap<int, std::string> Fields(std::string_view message) {
  std::multimap<int, std::string> fields;
  while (!message.empty()) {
    const uint64_t tag = ReadVarint(message);
    uint64_t number = 0;
    switch (tag & 7) {
      case 0:
        number = ReadVarint(message);
        break;
      case 1:
        number = Read<uint64_t>(message);
        break;
      case 5:
        number = Read<uint32_t>(message);
        break;
      case 2: {
        const uint64_t size = ReadVarint(message);
        EXPECT_LE(size, message.size());
        fields.emplace(tag >> 3, std::string(message.substr(0, size)));
        message.remove_prefix(size);
        continue;
      }
      default:
        ADD_FAILURE() << "wire type " << (tag & 7);
        return fields;
    }
    fields.emplace(tag >> 3, std::string(reinterpret_cast<const char*>(&number), 8));
  }
  return fields;
}

template <typename T>
T As(const std::string& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// Data of all records, with their checksums verified.
std::vector<std::string> Records(const std::string& file) {
  std::vector<std::string> records;
  std::string_view bytes = file;
  while (!bytes.empty()) {
    const std::string_view length_bytes = bytes.substr(0, 8);
    const uint64_t length = Read<uint64_t>(bytes);
    EXPECT_EQ(Read<uint32_t>(bytes), MaskedCrc32c(length_bytes));
    EXPECT_LE(length + 4, bytes.size());
    records.emplace_back(bytes.substr(0, length));
    bytes.remove_prefix(length);
    EXPECT_EQ(Read<uint32_t>(bytes), MaskedCrc32c(records.back()));
  }
  return records;
}

TEST(MaskedCrc32c, KnownVectors) {
  EXPECT_EQ(MaskedCrc32c("123456789"), 0xC78AB0E5u);
  EXPECT_EQ(MaskedCrc32c(std::string_view("\x18\0\0\0\0\0\0\0", 8)), 0x224B7FA3u);
}

TEST(EventFile, WhatIsWrittenReadsBack) {
  auto file = EventFile::Create(::testing::TempDir());
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->WriteScalars(300, {{"loss", 0.25}, {"lr", 1e-3}}).ok());
  ASSERT_TRUE((*file)->WriteRestart(301).ok());
  EXPECT_NE((*file)->path().find("/events.out.tfevents."), std::string::npos);

  auto contents = ReadFile((*file)->path());
  ASSERT_TRUE(contents.ok()) << contents.status();
  const std::vector<std::string> records = Records(*contents);
  ASSERT_EQ(records.size(), 3u);

  auto version = Fields(records[0]);
  EXPECT_EQ(version.find(3)->second, "brain.Event:2");
  EXPECT_GT(As<double>(version.find(1)->second), 1.6e9);

  auto scalars = Fields(records[1]);
  EXPECT_EQ(As<int64_t>(scalars.find(2)->second), 300);
  auto summary = Fields(scalars.find(5)->second);
  ASSERT_EQ(summary.count(1), 2u);
  auto entry = summary.find(1);
  auto first = Fields(entry->second), second = Fields((++entry)->second);
  EXPECT_EQ(first.find(1)->second, "loss");
  EXPECT_EQ(As<float>(first.find(2)->second), 0.25f);
  EXPECT_EQ(second.find(1)->second, "lr");
  EXPECT_EQ(As<float>(second.find(2)->second), 1e-3f);

  auto restart = Fields(records[2]);
  EXPECT_EQ(As<int64_t>(restart.find(2)->second), 301);
  EXPECT_EQ(As<int64_t>(Fields(restart.find(7)->second).find(1)->second), 1);
}

TEST(EventFile, MissingDirectoryIsAnError) {
  auto file = EventFile::Create(::testing::TempDir() + "/absent");
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.status().message().find("absent"), std::string::npos);
}

}  // namespace
}  // namespace radlads
