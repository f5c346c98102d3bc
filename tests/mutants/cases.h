// Inputs that activate mistakes: a checkpoint, and what is done with it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tests/mutants/forward.h"

namespace plumbline::mutants {

struct Case {
  std::string name;
  std::string what;  // what is special about it
  Architecture architecture;
  Weights weights = Weights::ordinary;
  DType dtype = DType::f32;  // of the checkpoint's file
  int slots = 1;
  int capacity = 32;  // that the cache begins with
  CacheForm form;
  std::vector<Action> actions;
};

std::span<const Case> all_cases();
const Case& case_named(const std::string& name);  // throws InternalError

// Reproducible ids below `vocab`.
std::vector<TokenId> some_tokens(int count, int vocab, unsigned seed);
// One forward call of one sequence, recorded under its slot's number.
Action prompt(std::vector<TokenId> tokens, int slot = 0);

}  // namespace plumbline::mutants
