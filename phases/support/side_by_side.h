// Two judgements of the same prompts in one table.
#pragma once

#include <string>

#include "harness/judge.h"
#include "harness/report.h"

namespace plumbline::phases {

// Per op class, the largest share of its gate on each side, and how many ops of `other` are wrong.
Evidence shares_side_by_side(const Judgement& ours, const Judgement& other, const std::string& other_name);

}  // namespace plumbline::phases
