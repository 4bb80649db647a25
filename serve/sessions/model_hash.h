// Which model a state belongs to.
#ifndef RADLADS_SERVE_SESSIONS_MODEL_HASH_H_
#define RADLADS_SERVE_SESSIONS_MODEL_HASH_H_

#include <string>

#include "model/transformer.h"

namespace radlads {

// 32 hexadecimal digits (FNV-1a, 128 bits) over the architecture, the compute dtype, and of every parameter and
// packed weight name, shape, dtype and 1024 bytes that lie evenly over it: other weights or another precision,
// another hash. Reads the live weights, some milliseconds. What is no part of it: names, tokenizer, training settings.
std::string ModelHash(const Transformer& model);

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_MODEL_HASH_H_
