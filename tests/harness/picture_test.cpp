// Pictures: what gnuplot is told, that it draws what it is told, and that nothing leads out of the reports.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "harness/picture.h"
#include "harness/report.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Picture curves() {
  Picture picture;
  picture.name = "error_by_layer";
  picture.title = "Error's growth";
  picture.x_label = "layer";
  picture.y_label = "error";
  picture.curves = {{"local", {0, 1, 2}, {1e-7, 0, 3e-7}}, {"nothing", {0, 1}, {kNan, kInfinity}}};
  return picture;
}

Picture heat_map() {
  Picture picture;
  picture.kind = Picture::Kind::heat_map;
  picture.name = "shares";
  picture.rows = {"a", "b"};
  picture.columns = {"0", "1", "2"};
  picture.values = {{0, 0.5, 0.9}, {kNan, 2, kInfinity}};
  return picture;
}

RunReport run_with(std::optional<Picture> picture) {
  PhaseReport phase;
  phase.phase = 3;
  phase.name = "forward";
  phase.title = "Phase 3: forward pass";
  phase.finished = true;
  CaseReport entry;
  entry.id = "3.4";
  entry.title = "layer by layer";
  Evidence evidence{"error by layer", {"layer"}, {{"0"}}};
  evidence.picture = std::move(picture);
  entry.evidence = {evidence, evidence};
  phase.cases = {entry};
  RunReport run;
  run.phases = {phase};
  return run;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool has_gnuplot() {
  std::string problem;
  return !draw(curves(), problem).empty();
}

// Another search path, for as long as it lives.
class SearchPath {
 public:
  explicit SearchPath(const std::string& folder)
      : path_(std::getenv("PATH") == nullptr ? "" : std::getenv("PATH")) {
    setenv("PATH", folder.c_str(), 1);
  }
  ~SearchPath() { setenv("PATH", path_.c_str(), 1); }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE(
    "picture: points that cannot stand on a logarithmic axis are left out, and text cannot end its quotes") {
  const std::string program = gnuplot_program(curves());
  CHECK(contains(program, "0 1e-07\n2 3e-07\n"));
  CHECK(contains(program, "'Error''s growth'"));
  CHECK_FALSE(contains(program, "nothing"));
  CHECK(contains(program, "set yrange [1e-7:1e-6]"));
  Picture hostile = curves();
  hostile.title = "a'\n!touch x\nb";
  CHECK(contains(gnuplot_program(hostile), "set title 'a''!touch xb' noenhanced\n"));
}

TEST_CASE("picture: a heat map leaves empty cells out, and what is beyond the gate is marked") {
  const std::string program = gnuplot_program(heat_map());
  CHECK(contains(program, "$cells << EOD\n0 0 0\n1 0 0.5\n2 0 0.9\n1 1 1.25\n2 1 1.25\nEOD\n"));
  CHECK(contains(program, "2 1 wrong"));
}

TEST_CASE("picture: the same picture gives the same SVG, also where there is nothing to draw") {
  if (!has_gnuplot()) {
    WARN("gnuplot is not installed");
    return;
  }
  for (Picture picture : {curves(), heat_map()}) {
    std::string problem;
    const std::string svg = draw(picture, problem);
    CHECK(problem.empty());
    CHECK(contains(svg, "<svg"));
    CHECK(svg == draw(picture, problem));
    CHECK_FALSE(contains(svg, "<image"));
  }
  Picture exact = curves();
  exact.curves = {{"local", {0, 1}, {0, 0}}};
  std::string problem;
  CHECK(contains(draw(exact, problem), "no error above 0"));
}

TEST_CASE("picture: without gnuplot one line says so, and the tables stay") {
  const SearchPath none("/nonexistent");
  std::string problem;
  CHECK(draw(curves(), problem).empty());
  CHECK(problem == "gnuplot is not installed");
  const TemporaryDirectory directory;
  write_reports(run_with(curves()), directory.path());
  const std::string page = phase_page(run_with(curves()).phases[0], {{}, problem});
  CHECK(contains(page, "Without pictures, the tables have their figures: gnuplot is not installed."));
  CHECK(contains(page, "| 0 |"));
  CHECK_FALSE(contains(phase_page(run_with(std::nullopt).phases[0], {{}, problem}), "gnuplot"));
}

TEST_CASE("picture: a gnuplot that fails is reported in one line") {
  const TemporaryDirectory directory;
  const std::filesystem::path program = directory / "gnuplot";
  std::ofstream(program) << "#!/bin/sh\nprintf '\\n  line 3: bad\\nline 4\\n' >&2\nexit 1\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const SearchPath only(directory.path().string());
  std::string problem;
  CHECK(draw(curves(), problem).empty());
  CHECK(problem == "gnuplot failed: line 3: bad");
}

TEST_CASE("picture: reports link what was drawn, and a run without it takes it away") {
  if (!has_gnuplot()) {
    WARN("gnuplot is not installed");
    return;
  }
  const TemporaryDirectory directory;
  const std::string name = "phase3_forward_3_4_error_by_layer.svg";
  RunReport run = run_with(curves());
  run.phases[0].folder = "slim";
  write_reports(run, directory.path());
  CHECK(std::filesystem::exists(directory / ("slim/" + name)));
  CHECK(std::filesystem::exists(directory / "slim/phase3_forward_3_4_error_by_layer_2.svg"));
  const Drawings drawn{{{"slim/" + name, "<svg/>"}}, ""};
  CHECK(contains(phase_page(run.phases[0], drawn), "![Error's growth](" + name + ")"));
  run = run_with(std::nullopt);
  run.phases[0].folder = "slim";
  write_reports(run, directory.path());
  CHECK_FALSE(std::filesystem::exists(directory / ("slim/" + name)));
  CHECK(std::filesystem::exists(directory / "slim/phase3_forward.md"));
}

TEST_CASE("picture: a part carries it whole, and one that names a place outside is refused") {
  const PhaseReport phase = run_with(curves()).phases[0];
  const std::string json = to_json(phase);
  const PhaseReport again = phase_from_json(json, "part");
  CHECK(to_json(again) == json);
  CHECK(gnuplot_program(*again.cases[0].evidence[0].picture) == gnuplot_program(curves()));
  Picture outside = curves();
  outside.name = "../x";
  CHECK_THROWS_AS(check_picture(outside), Error);
  CHECK_THROWS_AS(phase_from_json(to_json(run_with(outside).phases[0]), "part"), Error);
  Picture unequal = curves();
  unequal.curves[0].x.pop_back();
  CHECK_THROWS_AS(check_picture(unequal), Error);
  Picture ragged = heat_map();
  ragged.values[1].pop_back();
  CHECK_THROWS_AS(check_picture(ragged), Error);
}
