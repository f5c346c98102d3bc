#include "harness/generation.h"

namespace plumbline {

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::eos:
      return "eos";
    case StopReason::max_new_tokens:
      return "max_new_tokens";
    case StopReason::max_length:
      return "max_length";
    case StopReason::context_full:
      return "context_full";
    case StopReason::stop_string:
      return "stop_string";
    case StopReason::callback:
      return "callback";
    case StopReason::interrupted:
      return "interrupted";
    case StopReason::no_prompt:
      return "no_prompt";
  }
  throw InternalError("stop_reason_name: out of range");
}

}  // namespace plumbline
