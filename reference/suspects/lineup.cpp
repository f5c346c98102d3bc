#include <array>
#include <charconv>

#include "reference/internal/convert_torch.h"
#include "reference/internal/guard_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/rounding_torch.h"
#include "reference/internal/suspects_torch.h"

namespace plumbline::reference {
namespace {

constexpr std::int64_t kDroppedBits = 13;  // f32 has 23 bits of mantissa, TF32 has 10

at::Tensor bits_of_f32(const at::Tensor& f64) {
  return f64.to(at::kFloat).contiguous().view(at::kInt);
}

at::Tensor from_bits(const at::Tensor& bits) {
  return bits.contiguous().view(at::kFloat).to(at::kDouble);
}

// How far roundings within a mistaken op lead, at most: two, of the largest value rounded on the way. That is
// the output, or both products of a rotation, whose bound tells their size; of either, one rounding costs
// twice its h at most. Undefined where none rounds.
at::Tensor roundings_of(const Scene& scene, const Mistaken& mistaken) {
  const OpClass op = probe_spec(scene.site.probe).op;
  const bool rotates = op == OpClass::rope;
  const bool rounds = rotates || op == OpClass::rms_norm || op == OpClass::scores || op == OpClass::silu_mul;
  const DType dtype = scene.in.kept(scene.site.probe);
  if (!rounds || !scene.in.rounds_each() || !is_half(dtype)) return {};
  const at::Tensor y = mistaken.output.abs();
  const at::Tensor largest =
      rotates && mistaken.bound.defined() ? at::maximum(y, mistaken.bound / (4.0 * ops::kUnitRoundoff)) : y;
  return and_the_last(y, 4.0 * half_spacings(largest, dtype), dtype);
}

Replay as_replay(const Scene& scene, const Mistaken& mistaken) {
  Replay replay;
  replay.expected = to_harness(mistaken.output);
  if (mistaken.bound.defined()) replay.bound = to_harness(mistaken.bound.expand_as(mistaken.output));
  if (const at::Tensor roundings = roundings_of(scene, mistaken); roundings.defined())
    replay.roundings = to_harness(roundings);
  if (mistaken.evidence.defined()) replay.allowed = to_harness(mistaken.evidence.expand_as(mistaken.output));
  if (mistaken.as_stored) replay.emulated = copy_host(replay.expected.view());
  return replay;
}

}  // namespace

std::vector<std::pair<int, std::string>> Scene::other_layers() const {
  std::vector<std::pair<int, std::string>> others;
  const int last = static_cast<int>(model.config.num_hidden_layers) - 1;
  const auto add = [&](int number, const char* name) {
    if (site.layer < 0 || number < 0 || number > last || number == site.layer) return;
    for (const auto& [known, text] : others) {
      if (known == number) return;
    }
    others.emplace_back(number, name);
  };
  add(site.layer - 1, "the layer before");
  add(site.layer + 1, "the layer after");
  add(0, "the first layer");
  add(last, "the last layer");
  return others;
}

at::Tensor Scene::output(const at::Tensor& like) const {
  const at::Tensor given = to_f64_torch(*actual);
  if (!given.sizes().equals(like.sizes())) throw NotReplayable("another shape");
  return given;
}

bool Scene::slides() const {
  return model.config.layer_types.at(static_cast<std::size_t>(layer())) == LayerType::sliding_attention;
}

void Lineup::add(std::string name, std::string meaning, std::function<Mistaken(const Scene&)> formula,
                 bool fitted) {
  const auto replay = [scene = scene_, formula = std::move(formula)]() -> std::optional<Replay> {
    try {
      return in_torch([&] { return as_replay(*scene, formula(*scene)); });
    } catch (const NotReplayable&) {
      return std::nullopt;
    }
  };
  list_.push_back({std::move(name), std::move(meaning), replay, fitted});
}

std::vector<Suspect> suspects_for(std::shared_ptr<const Scene> scene, OpClass op) {
  Lineup lineup(std::move(scene));
  switch (op) {
    case OpClass::token_ids:
    case OpClass::positions:
    case OpClass::mask:
      suspect_inputs(lineup);
      break;
    case OpClass::inv_freq:
      suspect_frequencies(lineup);
      break;
    case OpClass::cos_sin:
      suspect_waves(lineup);
      break;
    case OpClass::embedding:
      suspect_embedding(lineup);
      break;
    case OpClass::rms_norm:
      suspect_norm(lineup);
      break;
    case OpClass::linear:
      suspect_linear(lineup);
      break;
    case OpClass::rope:
      suspect_rope(lineup);
      break;
    case OpClass::cache_update:
      suspect_cache(lineup);
      break;
    case OpClass::scores:
      suspect_scores(lineup);
      break;
    case OpClass::softmax:
      suspect_softmax(lineup);
      break;
    case OpClass::context:
      suspect_context(lineup);
      break;
    case OpClass::fused_attention:
      suspect_fused_attention(lineup);
      break;
    case OpClass::residual:
      suspect_residual(lineup);
      break;
    case OpClass::silu_mul:
      suspect_silu_mul(lineup);
      break;
    default:
      break;
  }
  return lineup.take();
}

void suspect_roundings(Lineup& lineup, std::function<at::Tensor(const Scene&)> right,
                       std::function<at::Tensor(const Scene&, DType)> each) {
  const DType dtype = lineup.scene().in.kept(lineup.scene().site.probe);
  if (!is_half(dtype)) return;
  if (lineup.scene().in.rounds_each()) {
    lineup.add("rounded once only",
               "the op is computed in f32, where each of its operations should have rounded",
               [=, right = std::move(right)](const Scene& s) {
                 return Mistaken{rounded_to(right(s), dtype), {}, {}, /*as_stored=*/true};
               });
  } else {
    lineup.add("rounded after each operation",
               "as eager LibTorch rounds: say so (rounding: each), or compute the op in f32",
               [=, each = std::move(each)](const Scene& s) {
                 return Mistaken{each(s, dtype), {}, {}, /*as_stored=*/true};
               });
  }
}

std::string in_digits(double value, int digits) {
  std::array<char, 32> text;
  const auto result =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, digits);
  return {text.data(), result.ptr};
}

// Half a unit of the last bit kept, and one less where that bit is 0: ties go to even.
at::Tensor to_tf32(const at::Tensor& f64) {
  const at::Tensor bits = bits_of_f32(f64);
  const at::Tensor odd = bits.bitwise_right_shift(kDroppedBits).bitwise_and(1);
  const at::Tensor nearest = bits + ((1 << (kDroppedBits - 1)) - 1) + odd;
  return from_bits(nearest.bitwise_and(-(1 << kDroppedBits)));
}

at::Tensor cut_to_tf32(const at::Tensor& f64) {
  return from_bits(bits_of_f32(f64).bitwise_and(-(1 << kDroppedBits)));
}

}  // namespace plumbline::reference
