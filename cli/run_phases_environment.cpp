#include "cli/run_phases_environment.h"

#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

#include "cli/run_phases_child.h"
#include "cli/run_phases_options.h"
#include "harness/error.h"

namespace plumbline::cli {
namespace {

std::string commit() {
  std::string text;
  try {
    const ChildEnding ending = run_child(
        {"git", "-C", source_dir().string(), "describe", "--always", "--dirty", "--abbrev=12"},
        [&](std::string_view line) { text = line; }, [] {});
    return ending.well() && ending.status == 0 && !text.empty() ? text : "unknown";
  } catch (const Error&) {
    return "unknown";  // no git: the report is worth having all the same
  }
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.find(':') + 2, line.size()));
  }
  return "unknown";
}

std::string operating_system() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return std::string(name.sysname) + " " + name.machine;
}

}  // namespace

Environment machine_environment() {
  return {{{"commit", commit()},
           {"CPU", cpu_model()},
           {"cores", std::to_string(std::thread::hardware_concurrency())},
           {"system", operating_system()}}};
}

void add_environment(const Environment& machine, PhaseReport& phase) {
  auto& entries = phase.environment.entries;
  auto place = entries.begin();
  for (const auto& entry : machine.entries) {
    const bool said =
        std::ranges::any_of(entries, [&](const auto& other) { return other.first == entry.first; });
    if (!said) place = entries.insert(place, entry) + 1;
  }
}

}  // namespace plumbline::cli
