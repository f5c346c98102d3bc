// What the benchmarks' main() share: the command line, and problems in one line.
#pragma once

#include <iostream>

#include <CLI/CLI.hpp>

#include "harness/error.h"

namespace plumbline::bench {

// Parses, and returns what run() does: a status. 2 for bad usage and for an Error, each one line with the
// app's name.
template <typename Run>
int bench_main(CLI::App& app, int argc, char** argv, const Run& run) {
  try {
    app.parse(argc, argv);
    return run();
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::cerr << app.get_name() << ": " << error.what() << " (see --help)\n";
  } catch (const Error& error) {
    std::cerr << app.get_name() << ": " << error.what() << '\n';
  }
  return 2;
}

}  // namespace plumbline::bench
