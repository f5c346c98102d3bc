#include "harness/generation.h"

namespace plumbline {

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::eos:
      return "eos";
    case StopReason::max_new_tokens:
      return "max_new_tokens";
    case StopReason::callback:
      return "callback";
    case StopReason::context_full:
      return "context_full";
  }
  throw InternalError("stop_reason_name: out of range");
}

}  // namespace plumbline
