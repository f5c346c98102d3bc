#include "reference/internal/ops_torch.h"

namespace plumbline::reference::ops {

at::Tensor embedding(const at::Tensor& ids, const at::Tensor& weight) {
  return at::embedding(weight, ids);
}

}  // namespace plumbline::reference::ops
