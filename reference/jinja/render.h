// Runs a template.
#pragma once

#include <string>

#include "reference/jinja/syntax.h"

namespace plumbline::reference::jinja {

// `variables`: what the template sees. Throws Error naming `where` and the template's line: for what Jinja
// would raise, for what is not known here, and for a template that works or grows without end.
std::string render(const Block& program, const Dict& variables, const std::string& where);

}  // namespace plumbline::reference::jinja
