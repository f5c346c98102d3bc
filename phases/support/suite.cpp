#include "phases/support/suite.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/error.h"
#include "harness/report_text.h"
#include "phases/support/recorder.h"

namespace plumbline::phases {
namespace {

bool recording = false;

// For the time that a check's outcome is handed to Catch2.
struct Recording {
  Recording() { recording = true; }
  ~Recording() { recording = false; }
};

constexpr std::size_t kReadableLength = 60;  // characters of a text around its first difference

// What stands around the place `at` of the first difference.
std::string excerpt(std::string_view text, std::size_t at) {
  const std::size_t begin = at > kReadableLength / 2 ? at - kReadableLength / 2 : 0;
  std::string cut = one_line(text.substr(std::min(begin, text.size()), kReadableLength));
  if (begin > 0) cut = "…" + cut;
  if (begin + kReadableLength < text.size()) cut += "…";
  return "'" + cut + "'";
}

std::string difference(std::string_view expected, std::string_view actual) {
  const auto [left, right] = std::ranges::mismatch(expected, actual);
  const auto at = static_cast<std::size_t>(left - expected.begin());
  return fmt::format("expected {}, got {}, first difference at byte {}", excerpt(expected, at),
                     excerpt(actual, at), at);
}

}  // namespace

bool inside_record() {
  return recording;
}

const SuiteOptions& options() {
  return recorder().options();
}

void record(Check check) {
  const bool good = check.verdict == Verdict::passed || check.verdict == Verdict::skipped;
  const std::string line =
      good ? std::string() : fmt::format("{}: {} {}", verdict_name(check.verdict), check.what, check.note);
  recorder().add(std::move(check));
  const Recording guard;
  if (good) {
    SUCCEED();
  } else {
    FAIL_CHECK(line);
  }
}

void record_all(std::vector<Check> checks) {
  for (Check& check : checks) record(std::move(check));
}

void record_skip(std::string what, std::string reason) {
  Check check;
  check.what = std::move(what);
  check.verdict = Verdict::skipped;
  check.note = std::move(reason);
  record(std::move(check));
}

void record_equal(std::string what, std::string subject, std::string_view expected, std::string_view actual,
                  std::string op) {
  const bool equal = expected == actual;
  Check check;
  check.what = std::move(what);
  check.subject = std::move(subject);
  check.op = std::move(op);
  check.metric = "mismatches";
  check.measured = equal ? 0 : 1;
  check.share = equal ? 0 : std::numeric_limits<double>::infinity();
  check.smallest_gate = check.measured;
  check.verdict = equal ? Verdict::passed : Verdict::failed;
  if (!equal) check.note = difference(expected, actual);
  record(std::move(check));
}

void add_evidence(Evidence evidence) {
  recorder().add_evidence(std::move(evidence));
}

void set_headline(std::string sentence) {
  std::string& headline = recorder().report().headline;
  if (headline.empty()) headline = std::move(sentence);
}

void add_environment(std::string name, std::string value) {
  auto& entries = recorder().report().environment.entries;
  const auto at = std::ranges::find(entries, name, &std::pair<std::string, std::string>::first);
  if (at == entries.end()) {
    entries.emplace_back(std::move(name), std::move(value));
  } else {
    at->second = std::move(value);
  }
}

void add_assumption(std::string text) {
  auto& assumptions = recorder().report().assumptions;
  if (std::ranges::find(assumptions, text) == assumptions.end()) assumptions.push_back(std::move(text));
}

}  // namespace plumbline::phases
