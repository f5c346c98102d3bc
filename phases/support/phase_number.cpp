// Compiled once per suite, with its number: all other support code is shared.
#include "phases/support/recorder.h"

namespace plumbline::phases {

int this_phase() {
  return PLUMBLINE_PHASE;
}

}  // namespace plumbline::phases
