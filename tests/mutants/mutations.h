// The list of mutants: what is planted, the case that shows it, and what the harness should say.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "harness/probe.h"
#include "tests/mutants/format.h"
#include "tests/mutants/mistakes.h"

namespace plumbline::mutants {

struct Mutation {
  Mistake mistake = Mistake::none;
  std::string name;
  std::string case_name;
  Probe blamed = Probe::input_ids;  // the first wrong op
  std::vector<Probe> also;          // what else is wrong by its own inputs
  // What follows is wrong or cannot be judged: it reads NaN, infinities, wrong shapes, or misread weights.
  bool spreads = false;
  std::string suspect;              // that explain should name first; empty: there is none in the catalogue
  std::vector<Probe> perhaps = {};  // wrong or not, as the weights fall
};

std::span<const Mutation> all_mutations();

// Planted, it makes no difference to any right engine: not counted, and must change no bit.
struct Equivalent {
  Mistake mistake = Mistake::none;
  std::string name;
  std::string case_name;
  std::string why;
};
std::span<const Equivalent> all_equivalents();

// A mutation of f32 that is no mistake in a half type, or none that can be seen there.
struct LeftOut {
  const Mutation* mutation = nullptr;
  std::string why;
  bool no_bit_changes = true;  // where it is planted all the same
};
struct FormatMutations {
  std::vector<Mutation> mutations;
  std::vector<LeftOut> left_out;
};
// Of a half type.
const FormatMutations& mutations_in(const Format& format);

}  // namespace plumbline::mutants
