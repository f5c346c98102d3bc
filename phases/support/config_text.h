// Configs, inventories and goldens as lists of named texts, so that phase 1 can compare and show them field
// by field. Numbers are written in the shortest form that reads back to the same value.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/model.h"

namespace plumbline::phases {

using Fields = std::vector<std::pair<std::string, std::string>>;

// The field's text; "(none)" where there is no such field.
std::string value_of(const Fields& fields, const std::string& name);

Fields fields_of(const ModelConfig& config);
Fields fields_of(const DerivedArchitecture& derived);
Fields fields_of(const GenerationDefaults& defaults);
// "name" -> "[120, 120] f32", with " tied" where it is.
Fields fields_of(const std::vector<WeightEntry>& weights);
std::string shape_part(const std::string& inventory_text);  // "[120, 120]"
bool is_tied(const std::string& inventory_text);

// The same fields from the goldens' JSON, under the same names.
Fields golden_fields(const nlohmann::json& resolved);
Fields golden_derived_fields(const nlohmann::json& derived);
Fields golden_generation_fields(const nlohmann::json& effective);
Fields golden_inventory(const nlohmann::json& inventory);

}  // namespace plumbline::phases
