// A suite of phase 1 that misbehaves as its --isa says, for suite_test.py.
#include <csignal>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "phases/support/suite.h"

using namespace plumbline;
using namespace plumbline::phases;

namespace {

bool mode(const char* name) {
  return options().isa == name;
}

}  // namespace

namespace plumbline::phases {

void prepare() {
  if (mode("bad input")) throw Error("is no checkpoint", "some/folder");
  if (mode("not available")) throw NotAvailable("no CUDA device");
}

}  // namespace plumbline::phases

TEST_CASE("1.1 fields and defaults: equal and unequal", "[1.1]") {
  record_equal("field rms_norm_eps", "tiny", "1e-06", mode("unequal") ? "1e-05" : "1e-06");
  if (mode("throws")) throw Error("is cut short\nhere", "config.json");
  if (mode("asserts")) CHECK(1 + 1 == 3);
}

TEST_CASE("1.1 fields and defaults: a second test of the same case", "[1.1]") {
  if (mode("asserts nothing")) return;
  record_equal("field vocab_size", "tiny", "1024", "1024");
}

TEST_CASE("1.2 weight inventory: may end the process", "[1.2]") {
  if (mode("crashes")) std::raise(SIGSEGV);
  record_equal("tensors", "tiny", "61", "61");
}

TEST_CASE("1.3 derived architecture: may record nothing", "[1.3]") {
  if (mode("records nothing")) {
    SUCCEED();
  } else {
    record_skip("parameter count", "no golden");
  }
}
