// Captures and interventions.
#include <algorithm>

#include <fmt/format.h>

#include "impl/half.h"
#include "phases/support/loop_checks.h"
#include "phases/support/loop_oracle.h"

namespace plumbline::phases {
namespace {

using Tokens = std::vector<TokenId>;

// Copies a probe's rows; or adds to them from one position on.
class RowsSink final : public ProbeSink {
 public:
  RowsSink(Engine& engine, OpSite site, Access access) : engine_(engine), site_(site), access_(access) {}
  Access access(const ProbeId& id) const override { return id.site == site_ ? access_ : Access::none; }
  void receive(const ProbeId&, const TensorView& view) override {
    const Tensor copy = engine_.to_host(view);
    const std::size_t before = rows.size();
    rows.resize(before + static_cast<std::size_t>(view.elements()));
    native::widen(view.dtype, copy.bytes().data(), view.elements(), rows.data() + before);
    width = view.shape[1];
  }
  void modify(const ProbeId&, const MutableTensorView& view) override {
    auto* const stored = static_cast<std::byte*>(view.mutable_data);
    std::vector<float> values(static_cast<std::size_t>(view.elements()));
    native::widen(view.dtype, stored, view.elements(), values.data());
    for (float& value : values) value += 0.5f;
    native::narrow(view.dtype, values.data(), view.elements(), stored);
  }

  std::vector<float> rows;
  std::int64_t width = 0;

 private:
  Engine& engine_;
  OpSite site_;
  Access access_;
};

OpSite middle_stream(const LoopKit& kit) {
  return {Probe::mlp_residual, static_cast<int>(kit.engine().config().num_hidden_layers / 2)};
}

bool shows_floats(const LoopKit& kit) {
  return kit.engine().info().storage != DType::f64;
}

}  // namespace

std::vector<Check> check_capture(const LoopKit& kit, const LoopPrompts& prompts) {
  const std::string what = "captured rows are those of the whole text";
  if (!shows_floats(kit)) return {check_skipped(what, "the engine's activations are not f32, bf16 or f16")};
  const OpSite site = middle_stream(kit);
  SeenTokens with, without;
  native::GenerationRequest request = greedy_request(prompts.line, prompts.tokens);
  request.hooks = watch(without);
  const auto generator = kit.generator(few_sequences(kit.engine()));
  generator->generate(request, nullptr);
  request.hooks = watch(with);
  const CapturedRun run = kit.capture(request, site);
  const Tokens text = generator->tokens();
  std::vector<Check> checks;
  const auto vocab = kit.engine().config().vocab_size;
  const auto logits_of = [&](const SeenTokens& seen) {
    return Tensor::from<float>(DType::f32, {static_cast<std::int64_t>(seen.tokens.size()), vocab},
                               seen.logits);
  };
  checks.push_back(
      check_bits("capturing changes nothing", site_name(site), logits_of(with), logits_of(without)));
  RowsSink rows(kit.engine(), site, ProbeSink::Access::read);
  whole_text_logits(kit.engine(), text, static_cast<std::int64_t>(prompts.line.size()) - 1, &rows);
  const Tensor expected =
      Tensor::from<float>(DType::f32, {static_cast<std::int64_t>(text.size()) - 1, rows.width}, rows.rows);
  checks.push_back(check_bits(what, site_name(site), run.rows, expected));
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; i + 1 < static_cast<std::int64_t>(text.size()); ++i) positions.push_back(i);
  checks.push_back(check_equal("captured rows say whose they are", site_name(site),
                               fmt::format("{}", fmt::join(positions, " ")),
                               fmt::format("{}", fmt::join(run.positions, " "))));
  return checks;
}

std::vector<Check> check_intervention(const LoopKit& kit, const LoopPrompts& prompts) {
  const std::string what = "an intervention acts in prefill and at every later token";
  if (!shows_floats(kit)) return {check_skipped(what, "only f32, bf16 and f16 can be changed")};
  const OpSite site = middle_stream(kit);
  SeenTokens seen;
  native::GenerationRequest request = greedy_request(prompts.line, prompts.tokens);
  request.hooks = watch(seen);
  native::Intervention change;
  change.site = site;
  change.values = {0.5f};
  Tokens text = prompts.line;
  const Tokens made = kit.intervene(request, change).tokens;
  text.insert(text.end(), made.begin(), made.end());
  RowsSink add(kit.engine(), site, ProbeSink::Access::write);
  const auto first = static_cast<std::int64_t>(prompts.line.size()) - 1;
  const Tensor expected = whole_text_logits(kit.engine(), text, first, &add);
  const Tensor shown = Tensor::from<float>(
      DType::f32, {static_cast<std::int64_t>(seen.tokens.size()), kit.engine().config().vocab_size},
      seen.logits);
  const Tensor plain = whole_text_logits(kit.engine(), text, first);
  const bool changed = !std::ranges::equal(plain.bytes(), expected.bytes());
  return {check_bits(what, site_name(site), shown, expected),
          check_equal("the change can be seen", site_name(site), "other logits",
                      changed ? "other logits" : "the same logits")};
}

}  // namespace plumbline::phases
