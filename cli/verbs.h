// The verbs of the `plumbline` command: each adds its subcommand with its options and an example, and a
// function that runs when it was chosen and returns the exit status. Wiring only: no arithmetic here.
#pragma once

#include <functional>
#include <vector>

#include <CLI/CLI.hpp>

namespace plumbline::cli {

struct Verb {
  CLI::App* command;
  std::function<int()> run;
};

Verb add_tokenize(CLI::App& app);
Verb add_generate(CLI::App& app);
Verb add_trace(CLI::App& app);
Verb add_compare(CLI::App& app);
Verb add_judge(CLI::App& app);
Verb add_merge(CLI::App& app);
Verb add_info(CLI::App& app);

}  // namespace plumbline::cli
