// The `plumbline` command.
#include <algorithm>
#include <iostream>

#include "cli/verbs.h"
#include "harness/error.h"
#include "harness/output_file.h"
#include "harness/verdict.h"

namespace {

using namespace plumbline;

int run(int argc, char** argv) {
  CLI::App app(
      "plumbline: is a Qwen2 inference engine true? Traces it, replays every op, names the first wrong one.");
  app.require_subcommand(1);
  const std::vector<cli::Verb> verbs{cli::add_tokenize(app), cli::add_generate(app), cli::add_trace(app),
                                     cli::add_compare(app),  cli::add_judge(app),    cli::add_merge(app),
                                     cli::add_info(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    const std::string first = argc > 1 ? argv[1] : "";
    const bool known = std::any_of(verbs.begin(), verbs.end(),
                                   [&](const cli::Verb& verb) { return verb.command->get_name() == first; });
    if (!known && !first.empty() && first[0] != '-') {
      throw Error("unknown verb '" + first + "'", "", "plumbline --help lists the verbs");
    }
    throw Error(error.what(), "", "plumbline --help lists the verbs, plumbline VERB --help its options");
  }
  for (const cli::Verb& verb : verbs) {
    if (!verb.command->parsed()) continue;
    const int status = verb.run();
    std::cout.flush();
    if (!std::cout) throw Error("cannot be written", "standard output", "is the disk full?");
    return status;
  }
  throw InternalError("no verb was chosen");
}

}  // namespace

int main(int argc, char** argv) {
  end_cleanly_on_signals();
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    std::cerr << "plumbline: " << error.what() << '\n';
  } catch (const std::bad_alloc&) {
    std::cerr << "plumbline: out of memory\n";
  } catch (const std::exception& error) {
    std::cerr << "plumbline: " << error.what() << '\n';
  }
  return kExitBadInput;
}
