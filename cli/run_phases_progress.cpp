#include "cli/run_phases_progress.h"

#include <cstdio>

#include <fmt/format.h>

namespace plumbline::cli {
namespace {

constexpr int kFailuresShown = 5;       // of a phase; the report has them all
constexpr std::size_t kLineWidth = 78;  // an in-place line must not wrap

// "3.2 several tokens" of "case 3.2 several tokens"; empty when the text begins otherwise.
std::string_view after(std::string_view text, std::string_view word) {
  return text.starts_with(word) ? text.substr(word.size()) : std::string_view();
}

}  // namespace

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
}

void Progress::print(const std::string& text) {
  fmt::print("{}{}\n", terminal_ ? "\r\033[K" : "", text);
  std::fflush(stdout);
}

void Progress::begin_phase(const PhaseReport& asked) {
  began_ = std::chrono::steady_clock::now();
  title_ = phase_label(asked);
  case_.clear();
  failures_ = failures_shown_ = 0;
  if (!terminal_) print(title_);
}

void Progress::line(std::string_view text) {
  if (const std::string_view name = after(text, "case "); !name.empty()) {
    case_ = name;
  } else if (const std::string_view failure = after(text, "fail "); !failure.empty()) {
    if (++failures_ <= kFailuresShown) print("  " + std::string(failure));
  } else if (const std::string_view done = after(text, "done "); !done.empty() && !terminal_) {
    const std::string_view rest = done.substr(std::min(done.find(' '), done.size()));
    print("  " + case_ + ":" + std::string(rest));
  }
}

void Progress::tick() {
  if (!terminal_) return;
  const std::string text =
      fmt::format("{}: {}  {:.0f} s", title_, case_.empty() ? "starting" : case_, seconds());
  fmt::print("\r\033[K{}", text.substr(0, kLineWidth));
  std::fflush(stdout);
}

void Progress::end_phase(const PhaseReport& phase) {
  if (failures_ > kFailuresShown) print(fmt::format("  and {} more", failures_ - kFailuresShown));
  print(fmt::format("{}: {} ({}) in {:.1f} s", title_, verdict_name(phase.counts().overall()),
                    phase.counts().to_string(), seconds()));
}

}  // namespace plumbline::cli
