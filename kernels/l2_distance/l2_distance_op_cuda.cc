#include "kernels/cuda/torch.h"
#include "kernels/l2_distance/l2_distance_cuda.h"
#include "kernels/l2_distance/l2_distance_kernels.h"

namespace radlads::cuda {
namespace {

const OnCuda forward(l2_distance_forward,
                     [](const L2DistanceArguments& arguments, double scale, float* norms, float* loss) {
                       Check(L2DistanceForward(arguments, scale, norms, loss, CurrentStream()), "L2Distance");
                     });

const OnCuda backward(l2_distance_backward, [](const L2DistanceArguments& arguments, const float* norms, double scale,
                                               const float* d_loss, void* dx) {
  Check(L2DistanceBackward(arguments, norms, scale, d_loss, dx, CurrentStream()), "L2Distance's gradient");
});

}  // namespace
}  // namespace radlads::cuda
