// The one error type for bad input and bad environment: what is wrong, where, and a hint.
//
// Three kinds of trouble are never mixed here. A numerical mismatch is data (a verdict). Bad input throws
// `Error`, is caught once in each main(), printed as one line, and ends with exit status 2. A broken
// invariant of our own throws `InternalError`, whose text begins with "internal:".
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace plumbline {

class Error : public std::runtime_error {
 public:
  // what: "tensor has the wrong shape [3, 4]"; where: "model.safetensors: lm_head.weight"; hint may be empty.
  // The message is one line: "where: what (hint)". Control characters in the parts are shown escaped.
  Error(std::string_view what, std::string_view where, std::string_view hint = {});
};

class InternalError : public std::logic_error {
 public:
  explicit InternalError(std::string_view what);
};

// Throws InternalError when `condition` does not hold.
inline void require(bool condition, std::string_view what) {
  if (!condition) throw InternalError(what);
}

}  // namespace plumbline
