// Tables and pictures of a report as JSON, and numbers, as report_json.cpp writes and reads them.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/report.h"

namespace plumbline {

using Json = nlohmann::ordered_json;

// JSON has no NaN and no infinity: texts stand for them.
Json number(double value);
double number_from(const Json& json);  // throws Error

Json evidence_json(const Evidence& shown);
Evidence evidence_from(const Json& json);  // throws Error, or nlohmann's own for what is missing

}  // namespace plumbline
