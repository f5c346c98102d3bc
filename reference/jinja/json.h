// JSON as Python reads and writes it, which is how transformers gives it to templates.
#pragma once

#include <string>
#include <string_view>

#include "reference/jinja/value.h"

namespace plumbline::reference::jinja {

// Python's json.loads: of a key that is there twice, the last value in the first one's place; integers of any
// length. Throws Error naming `where` for what is no JSON (NaN and Infinity are none here), for a number
// beyond f64, and for values that nest deeper than kDeepestJson.
constexpr int kDeepestJson = 80;  // a message holds it deeper yet
Value read_json(std::string_view text, const std::string& where);

// Python's json.dumps(value, ensure_ascii=False), transformers' filter tojson. Throws std::invalid_argument
// for a value that is none of JSON's.
std::string write_json(const Value& value);

}  // namespace plumbline::reference::jinja
