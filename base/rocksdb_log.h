// Every database of RocksDB is opened with this as options.info_log. Left to itself RocksDB writes what it does into a
// text file LOG beside the data, also when it only reads, and a full disk that does not take a line of that file ends
// the process: Debian builds RocksDB with its assertions, and the next line finds the file in a state that one of them
// denies.
#ifndef RADLADS_BASE_ROCKSDB_LOG_H_
#define RADLADS_BASE_ROCKSDB_LOG_H_

#include <rocksdb/env.h>

#include <memory>

namespace radlads {

// Makes no file and keeps nothing: what matters is in the status of each call. Thread-safe.
inline std::shared_ptr<rocksdb::Logger> NoRocksDbLog() {
  class NoLog : public rocksdb::Logger {
   public:
    NoLog() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
    using Logger::Logv;
    void Logv(const char*, va_list) override {}
  };
  return std::make_shared<NoLog>();
}

}  // namespace radlads

#endif  // RADLADS_BASE_ROCKSDB_LOG_H_
