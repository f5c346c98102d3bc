// The native engine in half types: what it stores, what it shows, and which bits do not depend on what.
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

#include <catch2/catch.hpp>

#include "impl/config.h"
#include "impl/cpu/embedding.h"
#include "impl/cpu/engine.h"
#include "impl/cpu/isa.h"
#include "impl/cpu/residual.h"
#include "impl/cpu/rms_norm.h"
#include "impl/cpu/rope.h"
#include "impl/cpu/silu_mul.h"
#include "impl/generation/intervention.h"
#include "impl/half.h"
#include "impl/weights.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr DType kHalves[] = {DType::bf16, DType::f16};
constexpr const char* kConfig = R"({"model_type": "qwen2", "vocab_size": 97, "hidden_size": 36,
  "intermediate_size": 70, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
  "rope_theta": 10000.0, "tie_word_embeddings": false})";

std::vector<float> rounded(DType dtype, std::vector<float> values) {
  std::vector<std::byte> halves(values.size() * dtype_size(dtype));
  const auto count = static_cast<std::int64_t>(values.size());
  narrow(dtype, values.data(), count, halves.data());
  widen(dtype, halves.data(), count, values.data());
  return values;
}

// The model in `from`, its weights rounded to `values`, in a file of `file`'s dtype.
void write_rounded(const ScratchDirectory& from, const ScratchDirectory& to, DType values, DType file) {
  nlohmann::json header;
  std::string data;
  const Checkpoint checkpoint(from.path());
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    std::vector<float> floats(static_cast<std::size_t>(tensor.shape.elements()));
    std::memcpy(floats.data(), tensor.bytes.data(), floats.size() * sizeof(float));
    floats = rounded(values, floats);
    std::string bytes(floats.size() * dtype_size(file), '\0');
    narrow(file, floats.data(), tensor.shape.elements(), reinterpret_cast<std::byte*>(bytes.data()));
    std::vector<std::int64_t> shape;
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
    header[name] = {{"dtype", dtype_safetensors_name(file)},
                    {"shape", shape},
                    {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += bytes;
  }
  std::string text = header.dump();
  while (text.size() % 8 != 0) text += ' ';
  to.write("config.json", kConfig);
  to.write("model.safetensors", safetensors_bytes(text, data));
}

std::unique_ptr<Engine> open(const std::filesystem::path& model, DType storage, int threads = 1,
                             const std::string& isa = {}) {
  return make_cpu_engine(model, {.threads = threads, .isa = isa, .storage = storage});
}

std::unique_ptr<Cache> new_cache(Engine& engine, CacheKind kind = CacheKind::concat) {
  return engine.make_cache({kind, 2, kind == CacheKind::fixed ? 64 : 0, engine.info().storage});
}

class Recorder : public ProbeSink {
 public:
  std::map<std::string, Tensor> seen;
  Access access(const ProbeId&) const override { return Access::read; }
  void receive(const ProbeId& id, const TensorView& view) override {
    seen[site_name(id.site)] = copy_host(view);
  }
  std::vector<float> floats(const std::string& name) const {
    const Tensor& tensor = seen.at(name);
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    widen(tensor.dtype(), tensor.bytes().data(), tensor.elements(), values.data());
    return values;
  }
};

// Writes the half `bits` everywhere in one probe.
class Writer final : public Recorder {
 public:
  Writer(std::string name, std::uint16_t bits) : name_(std::move(name)), bits_(bits) {}
  Access access(const ProbeId& id) const override {
    return site_name(id.site) == name_ ? Access::write : Access::read;
  }
  void modify(const ProbeId& id, const MutableTensorView& view) override {
    for (std::int64_t i = 0; i < view.elements(); ++i)
      static_cast<std::uint16_t*>(view.mutable_data)[i] = bits_;
    receive(id, view);
  }

 private:
  std::string name_;
  std::uint16_t bits_;
};

std::vector<float> logits(Engine& engine, std::span<const TokenId> tokens) {
  return run(engine, *new_cache(engine), tokens);
}

}  // namespace

TEST_CASE("half engine: says what it keeps in what, and shows every probe in it") {
  const ScratchDirectory model;
  write_random_model(model, kConfig, 1);
  const std::vector<TokenId> tokens = some_tokens(9, 97, 2);
  for (const DType dtype : kHalves) {
    const std::unique_ptr<Engine> engine = open(model.path(), dtype);
    CHECK(engine->info().storage == dtype);
    CHECK(engine->info().compute == DType::f32);
    Recorder recorder;
    const auto cache = new_cache(*engine);
    run(*engine, *cache, tokens, LogitsWanted::all, 0, recorder);
    int halves = 0;
    for (const auto& [name, tensor] : recorder.seen) {
      if (!is_floating(tensor.dtype())) continue;
      INFO(name);
      OpSite site;
      REQUIRE(parse_site(name, site));
      const bool full = site.probe == Probe::scores || site.probe == Probe::probs ||
                        site.probe == Probe::cos || site.probe == Probe::sin || site.probe == Probe::inv_freq;
      CHECK(tensor.dtype() == (full ? DType::f32 : dtype));
      CHECK(tensor.dtype() == (site.probe == Probe::past_key || site.probe == Probe::past_value
                                   ? cache->spec().dtype
                                   : kept_in(site.probe, dtype, engine->info().precision)));
      halves += full ? 0 : 1;
    }
    CHECK(halves > 30);
  }
}

TEST_CASE("half engine: logits are values of the storage dtype, and recording changes no bit") {
  const ScratchDirectory model;
  write_random_model(model, kConfig, 3);
  const std::vector<TokenId> tokens = some_tokens(21, 97, 4);
  for (const DType dtype : kHalves) {
    const std::unique_ptr<Engine> engine = open(model.path(), dtype);
    const std::vector<float> plain = logits(*engine, tokens);
    CHECK(same_bits(plain, rounded(dtype, plain)));
    Recorder recorder;
    CHECK(same_bits(run(*engine, *new_cache(*engine), tokens, LogitsWanted::all, 0, recorder), plain));
    CHECK(same_bits(recorder.floats("lm_head"), plain));
    // As another dtype it is another model.
    CHECK_FALSE(same_bits(logits(*open(model.path(), DType::f32), tokens), plain));
  }
}

TEST_CASE("half engine: each op rounds what it computes in f32 from what is stored, once") {
  const ScratchDirectory model;
  write_random_model(model, kConfig, 5);
  const std::vector<TokenId> tokens = some_tokens(7, 97, 6);
  const std::int64_t rows = 7, hidden = 36, wide = 70;
  for (const DType dtype : kHalves) {
    const ScratchDirectory as_stored;  // f32 of the values that are stored
    write_rounded(model, as_stored, dtype, DType::f32);
    const Checkpoint weights(as_stored.path());
    const auto weight = [&](const std::string& name) {
      return reinterpret_cast<const float*>(weights.tensors().at(name).bytes.data());
    };
    const std::unique_ptr<Engine> engine = open(model.path(), dtype);
    Recorder seen;
    run(*engine, *new_cache(*engine), tokens, LogitsWanted::all, 0, seen);
    ThreadPool pool(1);
    const CpuContext f32{kernels_for("scalar"), pool};
    const std::string layer = "model.layers.1.";
    const auto check = [&](const std::string& name, const std::vector<float>& computed) {
      INFO(name << " in " << dtype_name(dtype));
      CHECK(same_bits(seen.floats(name), rounded(dtype, computed)));
      CHECK_FALSE(same_bits(computed, rounded(dtype, computed)));
    };
    const auto project = [&](const std::string& name, bool bias, const std::string& input, std::int64_t outs,
                             std::int64_t depth) {
      const LinearWeights w{weight(name + ".weight"), bias ? weight(name + ".bias") : nullptr, outs, depth};
      std::vector<float> y(static_cast<std::size_t>(rows * outs));
      linear(f32, w, seen.floats(input).data(), rows, y.data());
      check(name, y);
    };

    std::vector<float> y(static_cast<std::size_t>(rows * hidden));
    embedding(weight("model.embed_tokens.weight"), hidden, tokens, y.data());
    CHECK(same_bits(seen.floats("model.embed_tokens"), y));
    rms_norm(f32, weight(layer + "input_layernorm.weight"), 1e-6f,
             seen.floats("model.layers.0.mlp_residual").data(), rows, hidden, y.data());
    check(layer + "input_layernorm", y);
    project(layer + "self_attn.q_proj", true, layer + "input_layernorm", hidden, hidden);
    project(layer + "self_attn.o_proj", false, layer + "self_attn.context", hidden, hidden);
    y = seen.floats(layer + "self_attn.q_proj");
    rope(f32, y.data(), rows, 6, 6, seen.floats("model.rotary_emb.cos").data(),
         seen.floats("model.rotary_emb.sin").data());
    check(layer + "self_attn.q_rope", y);
    project(layer + "mlp.gate_proj", false, layer + "post_attention_layernorm", wide, hidden);
    y.resize(static_cast<std::size_t>(rows * wide));
    silu_mul(f32, seen.floats(layer + "mlp.gate_proj").data(), seen.floats(layer + "mlp.up_proj").data(),
             rows * wide, y.data());
    check(layer + "mlp.act", y);
    y.resize(static_cast<std::size_t>(rows * hidden));
    residual(f32, seen.floats(layer + "attn_residual").data(), seen.floats(layer + "mlp.down_proj").data(),
             rows * hidden, y.data());
    check(layer + "mlp_residual", y);
    project("lm_head", false, "model.norm", 97, hidden);
  }
}

TEST_CASE("half engine: weights in the file as stored, or rounded when loaded: the same bits") {
  const ScratchDirectory model;
  write_random_model(model, kConfig, 7);
  const std::vector<TokenId> tokens = some_tokens(13, 97, 8);
  for (const DType dtype : kHalves) {
    const ScratchDirectory narrow_file, wide_file;
    write_rounded(model, narrow_file, dtype, dtype);
    write_rounded(model, wide_file, dtype, DType::f32);
    const std::vector<float> expected = logits(*open(narrow_file.path(), dtype), tokens);
    CHECK(same_bits(logits(*open(wide_file.path(), dtype), tokens), expected));
    CHECK(same_bits(logits(*open(model.path(), dtype), tokens), expected));
    // In f32 the file's dtype makes no difference either.
    CHECK(same_bits(logits(*open(narrow_file.path(), DType::f32), tokens),
                    logits(*open(wide_file.path(), DType::f32), tokens)));
  }
}

TEST_CASE("half engine: threads, instruction sets, chunks, caches and batches do not change a bit") {
  const ScratchDirectory model;
  write_random_model(model, kConfig, 9);
  const std::vector<TokenId> tokens = some_tokens(55, 97, 10);
  for (const DType dtype : kHalves) {
    const std::vector<float> expected = logits(*open(model.path(), dtype, 1, "scalar"), tokens);
    for (const std::string& isa : available_isas()) {
      for (const int threads : {1, 3}) {
        INFO(dtype_name(dtype) << ", " << isa << ", " << threads << " threads");
        const std::unique_ptr<Engine> engine = open(model.path(), dtype, threads, isa);
        CHECK(same_bits(logits(*engine, tokens), expected));
        for (const CacheKind kind : {CacheKind::concat, CacheKind::fixed}) {
          const auto cache = new_cache(*engine, kind);
          std::vector<float> parts;
          for (const std::size_t split : {20u, 1u, 1u, 30u, 3u}) {
            const auto part = run(*engine, *cache, std::span(tokens).subspan(parts.size() / 97, split));
            parts.insert(parts.end(), part.begin(), part.end());
          }
          CHECK(same_bits(parts, expected));
        }
        const auto cache = new_cache(*engine);
        const std::vector<TokenId> others = some_tokens(5, 97, 11);
        const std::vector<std::int64_t> own{0, 1, 2, 3}, theirs{0, 1, 2, 3, 4};
        const SequenceStep steps[] = {{1, others, theirs, LogitsWanted::all},
                                      {0, std::span(tokens).first(4), own, LogitsWanted::all}};
        NullSink nothing;
        const Logits both = engine->forward(steps, *cache, nothing);
        CHECK(same_bits(std::span(both.steps[1].as<float>(), 4 * 97), std::span(expected).first(4 * 97)));
      }
    }
  }
}

TEST_CASE("half engine: what a sink leaves in a half probe is what the engine goes on with") {
  const ScratchDirectory model;
  write_random_model(model, kConfig, 12);
  const std::vector<TokenId> tokens = some_tokens(6, 97, 13);
  for (const DType dtype : kHalves) {
    const std::unique_ptr<Engine> engine = open(model.path(), dtype);
    const std::uint16_t one = dtype == DType::bf16 ? 0x3f80 : 0x3c00;
    const std::vector<float> ones(6 * 36, 1.0f);
    Writer writer("model.layers.0.mlp.down_proj", one);
    run(*engine, *new_cache(*engine), tokens, LogitsWanted::all, 0, writer);
    std::vector<float> expected = writer.floats("model.layers.0.attn_residual");
    for (float& value : expected) value += 1.0f;
    CHECK(same_bits(writer.floats("model.layers.0.mlp_residual"), rounded(dtype, expected)));
    Writer last("lm_head", one);
    CHECK(same_bits(run(*engine, *new_cache(*engine), tokens, LogitsWanted::last, 0, last),
                    std::vector<float>(97, 1.0f)));
  }
}

TEST_CASE("half engine: interventions are rounded to the storage dtype as they are written") {
  const ScratchDirectory model;
  write_random_model(model, kConfig, 17);
  const std::vector<TokenId> tokens = some_tokens(5, 97, 18);
  const std::vector<std::int64_t> positions{0, 1, 2, 3, 4};
  const SequenceStep step{0, tokens, positions, LogitsWanted::all};
  for (const DType dtype : kHalves) {
    const std::unique_ptr<Engine> engine = open(model.path(), dtype);
    const float tenth = 0.1f;
    std::uint16_t bits = 0;
    narrow(dtype, &tenth, 1, reinterpret_cast<std::byte*>(&bits));
    const OpSite site{Probe::attn_residual, 1};
    Writer writer(site_name(site), bits);
    const std::vector<float> expected =
        run(*engine, *new_cache(*engine), tokens, LogitsWanted::all, 0, writer);
    Interventions replace(*engine, {{.site = site, .kind = InterventionKind::replace, .values = {tenth}}});
    replace.begin({&step, 1});
    CHECK(same_bits(run(*engine, *new_cache(*engine), tokens, LogitsWanted::all, 0, replace), expected));
    Interventions scale(*engine, {{.site = site, .kind = InterventionKind::scale, .values = {1.0f}}});
    scale.begin({&step, 1});
    CHECK(same_bits(run(*engine, *new_cache(*engine), tokens, LogitsWanted::all, 0, scale),
                    logits(*engine, tokens)));
  }
}

TEST_CASE("half engine: the cache may store another dtype than the engine") {
  const ScratchDirectory model;
  write_random_model(model, kConfig, 14);
  const std::vector<TokenId> tokens = some_tokens(17, 97, 15);
  const std::unique_ptr<Engine> engine = open(model.path(), DType::bf16);
  const std::vector<float> own = logits(*engine, tokens);
  // Keys and values are bf16 numbers already: f32 keeps them as they are, f16 does not.
  const auto over = [&](DType dtype) {
    return run(*engine, *engine->make_cache({CacheKind::concat, 1, 0, dtype}), tokens);
  };
  CHECK(same_bits(over(DType::f32), own));
  CHECK(same_bits(over(DType::bf16), own));
}

TEST_CASE("half engine: refuses what cannot be stored, in one line") {
  const ScratchDirectory model, large;
  write_random_model(model, kConfig, 16);
  CHECK(error_of([&] { open(model.path(), DType::f64); }) ==
        "cpu engine: storage dtype f64 is not there (f32, bf16 or f16)");
  const Checkpoint checkpoint(model.path());
  write_rounded(model, large, DType::f32, DType::f32);
  const SafetensorsEntry& tensor = checkpoint.tensors().at("model.layers.1.mlp.up_proj.weight");
  const SafetensorsEntry& first = checkpoint.tensors().begin()->second;
  std::ifstream in(large.path() / "model.safetensors", std::ios::binary);
  std::string file(std::istreambuf_iterator<char>(in), {});
  const float too_large = 65520.0f;
  const auto data = file.size() - [&] {
    std::size_t all = 0;
    for (const auto& [name, each] : checkpoint.tensors()) all += each.bytes.size();
    return all;
  }();
  std::memcpy(file.data() + data + (tensor.bytes.data() - first.bytes.data()), &too_large, sizeof too_large);
  large.write("model.safetensors", file);
  CHECK_THAT(error_of([&] { open(large.path(), DType::f16); }),
             Catch::Contains("up_proj.weight") && Catch::Contains("infinite in f16"));
  CHECK(error_of([&] { open(large.path(), DType::bf16); }).empty());
}
