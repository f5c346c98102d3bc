// main() of the unit tests. A filter that matches nothing and a test that asserts nothing are failures;
// Catch2 2.13 accepts -w once only, so both are switched on here.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

int main(int argc, char** argv) {
  Catch::Session session;
  using Warn = Catch::WarnAbout;
  session.configData().warnings = static_cast<Warn::What>(Warn::NoAssertions | Warn::NoTests);
  const int refused = session.applyCommandLine(argc, argv);
  return refused != 0 ? refused : session.run();
}
