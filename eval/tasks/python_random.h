// random.Random of Python: the same Mersenne Twister (MT19937), seeded and read in the same way, so that few-shot
// examples and bootstrap resamples are those that lm_eval draws.
#ifndef RADLADS_EVAL_TASKS_PYTHON_RANDOM_H_
#define RADLADS_EVAL_TASKS_PYTHON_RANDOM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace radlads {

// Not thread-safe.
class PythonRandom {
 public:
  // random.Random(seed), for seed >= 0.
  explicit PythonRandom(uint64_t seed);

  double Uniform();                // random(): 53 bits, in [0, 1)
  uint32_t Below(uint32_t count);  // _randbelow(count): in [0, count), count > 0
  // sample(range(count), k): k different indices, k <= count.
  std::vector<uint32_t> Sample(uint32_t count, uint32_t k);
  // One of choices(range(count), k=...).
  uint32_t Choice(uint32_t count) { return static_cast<uint32_t>(Uniform() * count); }

 private:
  static constexpr size_t kSize = 624;
  uint32_t Next();
  void Refill();
  std::array<uint32_t, kSize> state_;
  size_t next_ = kSize;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_PYTHON_RANDOM_H_
