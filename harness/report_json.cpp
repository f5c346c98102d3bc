// report.json and the parts of suites: complete, and readable again.
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "harness/report.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormatName = "plumbline report";
constexpr int kFormatVersion = 1;
constexpr int kLargestCount = 1'000'000;  // of a row: sums of many stay far from overflow

// JSON has no NaN and no infinity.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(figure(value));
}

double number_from(const Json& json) {
  if (json.is_number()) return json.get<double>();
  const std::string text = json.get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  throw Error("'" + text + "' is no number", "");
}

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

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

std::vector<double> numbers_from(const Json& json) {
  std::vector<double> values;
  for (const Json& value : json) values.push_back(number_from(value));
  return values;
}

Json picture_json(const Picture& picture) {
  Json curves = Json::array(), values = Json::array();
  for (const Series& curve : picture.curves) {
    curves.push_back({{"name", curve.name}, {"x", numbers(curve.x)}, {"y", numbers(curve.y)}});
  }
  for (const std::vector<double>& row : picture.values) values.push_back(numbers(row));
  return {{"kind", picture.kind == Picture::Kind::curves ? "curves" : "heat map"},
          {"name", picture.name},
          {"title", picture.title},
          {"x_label", picture.x_label},
          {"y_label", picture.y_label},
          {"curves", curves},
          {"rows", picture.rows},
          {"columns", picture.columns},
          {"values", values}};
}

Picture picture_from(const Json& json) {
  Picture picture;
  const std::string kind = json.at("kind").get<std::string>();
  if (kind != "curves" && kind != "heat map") throw Error("'" + kind + "' is no kind of picture", "");
  picture.kind = kind == "curves" ? Picture::Kind::curves : Picture::Kind::heat_map;
  picture.name = json.at("name").get<std::string>();
  picture.title = json.at("title").get<std::string>();
  picture.x_label = json.at("x_label").get<std::string>();
  picture.y_label = json.at("y_label").get<std::string>();
  for (const Json& curve : json.at("curves")) {
    picture.curves.push_back(
        {curve.at("name").get<std::string>(), numbers_from(curve.at("x")), numbers_from(curve.at("y"))});
  }
  picture.rows = json.at("rows").get<std::vector<std::string>>();
  picture.columns = json.at("columns").get<std::vector<std::string>>();
  for (const Json& row : json.at("values")) picture.values.push_back(numbers_from(row));
  check_picture(picture);  // its name becomes a file's
  return picture;
}

Json evidence_json(const Evidence& shown) {
  Json json{{"title", shown.title}, {"header", shown.header}, {"rows", shown.rows}};
  if (shown.picture) json["picture"] = picture_json(*shown.picture);
  return json;
}

Evidence evidence_from(const Json& json) {
  Evidence shown{json.at("title").get<std::string>(), json.at("header").get<std::vector<std::string>>(),
                 json.at("rows").get<std::vector<std::vector<std::string>>>()};
  if (json.contains("picture")) shown.picture = picture_from(json.at("picture"));
  return shown;
}

Json case_json(const CaseReport& entry) {
  Json evidence = Json::array();
  for (const Evidence& shown : entry.evidence) evidence.push_back(evidence_json(shown));
  Json checks = Json::array();
  for (const Check& check : entry.checks) checks.push_back(check_json(check));
  return {{"id", entry.id},           {"title", entry.title},     {"counts", counts_json(entry.counts())},
          {"message", entry.message}, {"crashed", entry.crashed}, {"seconds", number(entry.seconds)},
          {"checks", checks},         {"evidence", evidence}};
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
          {"cases", cases},
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
               {"phases", phases}});
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
