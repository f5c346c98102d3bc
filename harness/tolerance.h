// fixtures/tolerances.yaml: what an op must keep. No entry is an error, never a default.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "harness/probe.h"

namespace plumbline {

enum class Rule : std::uint8_t {
  exact,  // every element equal to the replay
  bound,  // |y - y64| <= h + lambda * B, B the replay's bound, h half a spacing of a half type (0 for f32)
};

// docs/tolerances.md derives each.
struct Tolerance {
  Rule rule = Rule::exact;
  double lambda = 0;                    // for Rule::bound
  std::optional<double> ceiling;        // |y - y64| <= ceiling * max(1, largest |y64| of the row), besides
  std::optional<double> largest_slope;  // z of the error along the output, from 256 outputs on
  // Share of the elements that differ from Replay::emulated, from 480 elements on.
  std::optional<double> largest_differing;
  std::string why;
  bool measured = true;  // whether lambda was found over engines on such a device
};

class Tolerances {
 public:
  // Checks the file whole: unknown keys, ops, dtypes or devices, a row twice, a number that is not finite and
  // positive, a missing `why`: Error with the file's line.
  static Tolerances load(const std::filesystem::path& path);
  static Tolerances parse(const std::string& yaml, const std::string& where);

  // Throws Error when some op class or gate that a run with this storage dtype and device needs has no entry.
  void require_complete(DType dtype, DeviceKind device) const;

  // Empty, or a sentence for the report of such a run: the op classes whose lambda was not measured there.
  std::string unmeasured(DType dtype, DeviceKind device) const;

  // `dtype`: that the output is kept in. Ops that no storage dtype changes (whole numbers, inv_freq,
  // sampling) have rows for f32 alone, and are looked up there. Throws Error when there is no entry.
  const Tolerance& op(OpClass op, DType dtype, DeviceKind device) const;

  // A gate that belongs to no op: "final_logits_max_abs", … Throws Error when there is no entry.
  double gate(const std::string& name) const;

 private:
  static Tolerances parse_text(const std::string& yaml, const std::string& where);

  std::string where_;
  std::map<std::tuple<OpClass, DType, DeviceKind>, Tolerance> ops_;
  std::map<std::string, double> gates_;
};

}  // namespace plumbline
