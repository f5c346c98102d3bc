// JSON as Python writes it: what Hugging Face's chat templates put into a chat (json.dumps, ensure_ascii
// off).
#pragma once

#include <string>
#include <string_view>

namespace plumbline::native {

// ", " and ": " between the parts, the keys in their order, floats as Python's repr() has them, integers of
// any length, characters beyond ASCII as they are. Of a key that is there twice, the last value in the first
// one's place. Throws Error naming `where` for a text that is not one JSON value (NaN and Infinity are none),
// for a number beyond f64, and for more than 80 levels.
std::string python_json(std::string_view json, const std::string& where);
// The same for what has to be an object.
std::string python_json_object(std::string_view json, const std::string& where);

// Python's repr() of a finite float.
std::string python_float(double value);

}  // namespace plumbline::native
