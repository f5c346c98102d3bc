// report.json and the parts of suites: complete, and readable again.
#include <cmath>
#include <limits>
#include <utility>

#include "harness/error.h"
#include "harness/report.h"
#include "harness/report_json_evidence.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

constexpr const char* kFormatName = "plumbline report";
constexpr int kFormatVersion = 1;
// Of a row: all Unicode scalar values are 1.1 million. Sums of many rows stay far from overflow.
constexpr int kLargestCount = 2'000'000;

// A float would be cut to an int, or to nothing that C++ defines.
int whole_from(const Json& json) {
  const bool whole = json.is_number_integer();
  const double value = whole ? json.get<double>() : 0;
  if (!whole || std::abs(value) > std::numeric_limits<int>::max()) {
    throw Error("'" + json.dump(-1, ' ', false, Json::error_handler_t::replace) + "' is no whole number", "");
  }
  return json.get<int>();
}

std::int64_t bytes_from(const Json& json) {
  if (!json.is_number_unsigned()) throw Error("a size that is no whole number", "");
  return json.get<std::int64_t>();
}

// Pages are removed in it: no way may lead out of the reports.
std::string folder_from(const Json& json) {
  const std::string name = json.get<std::string>();
  const bool plain = name.find_first_of("/\\") == std::string::npos && !name.starts_with(".");
  if (!plain) throw Error("'" + name + "' is no plain name of a folder", "");
  return name;
}

Json pairs(const Environment& environment) {
  Json list = Json::array();
  for (const auto& [name, value] : environment.entries) list.push_back(Json::array({name, value}));
  return list;
}

Json counts_json(const VerdictCounts& counts) {
  return {{"verdict", verdict_name(counts.overall())},
          {"passed", counts.passed},
          {"failed", counts.failed},
          {"error", counts.error},
          {"mistrusted", counts.mistrusted},
          {"untested", counts.untested},
          {"skipped", counts.skipped}};
}

Json check_json(const Check& check) {
  require(check.count >= 1 && check.count <= kLargestCount, "a row with an impossible count: " + check.what);
  return {{"what", check.what},
          {"subject", check.subject},
          {"op", check.op},
          {"metric", check.metric},
          {"measured", number(check.measured)},
          {"gate", number(check.gate)},
          {"share", number(check.share)},
          {"smallest_gate", number(check.smallest_gate)},
          {"verdict", verdict_name(check.verdict)},
          {"trivial", check.trivial},
          {"count", check.count},
          {"note", check.note}};
}

Check check_from(const Json& json) {
  Check check;
  check.what = json.at("what").get<std::string>();
  check.subject = json.at("subject").get<std::string>();
  check.op = json.at("op").get<std::string>();
  check.metric = json.at("metric").get<std::string>();
  check.measured = number_from(json.at("measured"));
  check.gate = number_from(json.at("gate"));
  check.share = number_from(json.at("share"));
  check.smallest_gate = number_from(json.at("smallest_gate"));
  check.verdict = verdict_from_name(json.at("verdict").get<std::string>());
  check.trivial = json.at("trivial").get<bool>();
  check.count = json.contains("count") ? whole_from(json.at("count")) : 1;  // reports of old have no counts
  if (check.count < 1 || check.count > kLargestCount) throw Error("a row with an impossible count", "");
  check.note = json.at("note").get<std::string>();
  return check;
}

Json case_json(const CaseReport& entry) {
  Json evidence = Json::array();
  for (const Evidence& shown : entry.evidence) evidence.push_back(evidence_json(shown));
  Json checks = Json::array();
  for (const Check& check : entry.checks) checks.push_back(check_json(check));
  return {{"id", entry.id},
          {"title", entry.title},
          {"counts", counts_json(entry.counts())},
          {"message", entry.message},
          {"crashed", entry.crashed},
          {"seconds", number(entry.seconds)},
          {"checks", std::move(checks)},
          {"evidence", std::move(evidence)}};
}

CaseReport case_from(const Json& json) {
  CaseReport entry;
  entry.id = json.at("id").get<std::string>();
  entry.title = json.at("title").get<std::string>();
  entry.message = json.at("message").get<std::string>();
  entry.crashed = json.at("crashed").get<bool>();
  entry.seconds = number_from(json.at("seconds"));
  for (const Json& check : json.at("checks")) entry.checks.push_back(check_from(check));
  for (const Json& shown : json.at("evidence")) entry.evidence.push_back(evidence_from(shown));
  return entry;
}

Json phase_json(const PhaseReport& phase) {
  Json cases = Json::array();
  for (const CaseReport& entry : phase.cases) cases.push_back(case_json(entry));
  return {{"phase", phase.phase},
          {"name", phase.name},
          {"title", phase.title},
          {"counts", counts_json(phase.counts())},
          {"opening_sentence", phase.opening_sentence()},
          {"mistrusted_ops", phase.mistrusted_ops()},
          {"model", phase.model},
          {"folder", phase.folder},
          {"engine", phase.engine},
          {"repeat_command", phase.repeat_command},
          {"headline", phase.headline},
          {"assumptions", phase.assumptions},
          {"finished", phase.finished},
          {"running", phase.running},
          {"error", phase.error},
          {"partial", phase.partial},
          {"cases", std::move(cases)},
          {"environment", pairs(phase.environment)},
          {"seconds", number(phase.seconds)},
          {"peak_bytes", phase.peak_bytes}};
}

PhaseReport phase_from(const Json& json) {
  PhaseReport phase;
  phase.phase = whole_from(json.at("phase"));
  phase.name = json.at("name").get<std::string>();
  phase.title = json.at("title").get<std::string>();
  phase.model = json.at("model").get<std::string>();
  phase.folder = json.contains("folder") ? folder_from(json.at("folder")) : std::string();
  phase.engine = json.at("engine").get<std::string>();
  phase.repeat_command = json.at("repeat_command").get<std::string>();
  phase.headline = json.at("headline").get<std::string>();
  phase.assumptions = json.at("assumptions").get<std::vector<std::string>>();
  phase.finished = json.at("finished").get<bool>();
  phase.running = json.at("running").get<std::string>();
  phase.error = json.at("error").get<std::string>();
  phase.partial = json.at("partial").get<bool>();
  phase.seconds = number_from(json.at("seconds"));
  if (json.contains("peak_bytes")) phase.peak_bytes = bytes_from(json.at("peak_bytes"));
  for (const Json& entry : json.at("cases")) phase.cases.push_back(case_from(entry));
  for (const Json& pair : json.at("environment")) {
    phase.environment.entries.emplace_back(pair.at(0).get<std::string>(), pair.at(1).get<std::string>());
  }
  return phase;
}

std::string dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Runs `read` over the parsed text; whatever is wrong with it becomes one Error that names `where`.
template <typename Read>
auto parse(const std::string& text, const std::string& where, Read read) {
  try {
    return read(Json::parse(text));
  } catch (const std::exception& problem) {
    throw Error(std::string("not a report of plumbline: ") + problem.what(), where);
  }
}

}  // namespace

std::string to_json(const PhaseReport& phase) {
  return dump(phase_json(phase));
}

PhaseReport phase_from_json(const std::string& text, const std::string& where) {
  return parse(text, where, phase_from);
}

std::string report_json(const RunReport& run) {
  Json phases = Json::array();
  for (const PhaseReport& phase : run.phases) phases.push_back(phase_json(phase));
  return dump({{"format", kFormatName},
               {"version", kFormatVersion},
               {"counts", counts_json(run.counts())},
               {"exit_status", exit_status(run.counts())},
               {"skipped_reason", run.skipped_reason},
               {"phases", std::move(phases)}});
}

RunReport run_from_json(const std::string& text, const std::string& where) {
  return parse(text, where, [](const Json& json) {
    if (json.at("format") != kFormatName) throw Error("unknown format", "");
    if (whole_from(json.at("version")) != kFormatVersion) throw Error("unknown format version", "");
    RunReport run;
    run.skipped_reason = json.at("skipped_reason").get<std::string>();
    for (const Json& phase : json.at("phases")) run.phases.push_back(phase_from(phase));
    return run;
  });
}

}  // namespace plumbline
