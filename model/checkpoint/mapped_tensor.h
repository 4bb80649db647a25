// A torch tensor over bytes of a mapped file.
#ifndef RADLADS_MODEL_CHECKPOINT_MAPPED_TENSOR_H_
#define RADLADS_MODEL_CHECKPOINT_MAPPED_TENSOR_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/file.h"

namespace radlads {

// A contiguous tensor at byte `offset` of `file`, which must hold all of it (a broken caller is a broken invariant).
// It keeps the mapping alive and is read-only; when the bytes are not aligned for `dtype` they are copied.
// When it goes, its pages no longer count to this process, so that reading a file tensor by tensor takes the memory of
// one tensor.
at::Tensor MappedTensor(const std::shared_ptr<const MappedFile>& file, uint64_t offset, const std::vector<int64_t>& shape,
                        at::ScalarType dtype);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_MAPPED_TENSOR_H_
