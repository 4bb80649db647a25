#include "eval/tasks/python_random.h"

#include <bit>
#include <cmath>
#include <numeric>
#include <unordered_set>

namespace radlads {

PythonRandom::PythonRandom(uint64_t seed) {
  std::vector<uint32_t> key = {static_cast<uint32_t>(seed)};
  if (seed >> 32) key.push_back(static_cast<uint32_t>(seed >> 32));
  state_[0] = 19650218;
  for (size_t i = 1; i < kSize; ++i) state_[i] = 1812433253u * (state_[i - 1] ^ state_[i - 1] >> 30) + i;
  size_t i = 1, j = 0;
  const auto wrap = [&] {
    if (++i < kSize) return;
    state_[0] = state_[kSize - 1];
    i = 1;
  };
  for (size_t n = 0; n < kSize; ++n, wrap(), j = (j + 1) % key.size()) {
    state_[i] = (state_[i] ^ (state_[i - 1] ^ state_[i - 1] >> 30) * 1664525u) + key[j] + j;
  }
  for (size_t n = 1; n < kSize; ++n, wrap()) {
    state_[i] = (state_[i] ^ (state_[i - 1] ^ state_[i - 1] >> 30) * 1566083941u) - i;
  }
  state_[0] = 0x80000000u;
}

void PythonRandom::Refill() {
  for (size_t i = 0; i < kSize; ++i) {
    const uint32_t joined = (state_[i] & 0x80000000u) | (state_[(i + 1) % kSize] & 0x7fffffffu);
    state_[i] = state_[(i + 397) % kSize] ^ joined >> 1 ^ (joined & 1 ? 0x9908b0dfu : 0);
  }
  next_ = 0;
}

uint32_t PythonRandom::Next() {
  if (next_ == kSize) Refill();
  uint32_t y = state_[next_++];
  y ^= y >> 11;
  y ^= y << 7 & 0x9d2c5680u;
  y ^= y << 15 & 0xefc60000u;
  return y ^ y >> 18;
}

double PythonRandom::Uniform() {
  const uint32_t high = Next() >> 5, low = Next() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

uint32_t PythonRandom::Below(uint32_t count) {
  const int bits = std::bit_width(count);
  uint32_t value;
  do value = Next() >> (32 - bits);
  while (value >= count);
  return value;
}

std::vector<uint32_t> PythonRandom::Sample(uint32_t count, uint32_t k) {
  std::vector<uint32_t> picked(k);
  double set_size = 21;  // of a set of k items, by which Python chooses between its two ways
  if (k > 5) set_size += std::pow(4, std::ceil(std::log(k * 3.0) / std::log(4.0)));
  if (count <= set_size) {
    std::vector<uint32_t> pool(count);
    std::iota(pool.begin(), pool.end(), 0);
    for (uint32_t i = 0; i < k; ++i) {
      const uint32_t j = Below(count - i);
      picked[i] = pool[j];
      pool[j] = pool[count - i - 1];
    }
    return picked;
  }
  std::unordered_set<uint32_t> seen;
  for (uint32_t& index : picked) {
    do index = Below(count);
    while (!seen.insert(index).second);
  }
  return picked;
}

}  // namespace radlads
