#include "tests/mutants/token_sides.h"

#include <optional>

#include "phases/support/goldens.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"

namespace plumbline {
namespace {

struct Trial {
  phases::SuiteOptions options;
  std::optional<phases::Goldens> goldens;
  const Tokenizer* subject = nullptr;
  const Tokenizer* reference = nullptr;
};
Trial& trial() {
  static Trial made;
  return made;
}

}  // namespace

namespace phases {

const SuiteOptions& options() {
  return trial().options;
}
const Tokenizer* native_tokenizer() {
  return trial().subject;
}
const Tokenizer* reference_tokenizer() {
  return trial().reference;
}
const std::optional<Goldens>& goldens() {
  return trial().goldens;
}

}  // namespace phases

namespace mutants {

void use_goldens(const std::filesystem::path& fixtures) {
  trial().options.fixtures = fixtures;
  trial().options.model = fixtures / "models" / "tiny";
  phases::Goldens goldens;
  goldens.directory = fixtures / "goldens" / "tiny";
  goldens.tokenization = phases::read_json(goldens.directory / "tokenization.json");
  trial().goldens = std::move(goldens);
}

void use_tokenizers(const Tokenizer& subject, const Tokenizer& reference) {
  trial().subject = &subject;
  trial().reference = &reference;
}

}  // namespace mutants
}  // namespace plumbline
