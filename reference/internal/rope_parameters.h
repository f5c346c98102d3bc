// The rotary part of config.json.
#pragma once

#include "harness/model.h"
#include "reference/internal/json_fields.h"

namespace plumbline::reference {

// From rope_scaling (4.x) or rope_parameters (5.x); fills what is absent as transformers does.
RopeParameters parse_rope_parameters(const JsonFields& config, std::int64_t max_position_embeddings);

}  // namespace plumbline::reference
