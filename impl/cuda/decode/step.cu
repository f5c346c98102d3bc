#include <cuda_runtime.h>

#include "impl/cuda/decode/kernel.cuh"
#include "impl/cuda/decode/launcher.h"
#include "impl/cuda/launch.h"
#include "impl/cuda/memory.h"

namespace plumbline::native::cuda {
namespace {

// Of one dtype of the cache. No blocks: it cannot be launched.
struct DecodeLaunch {
  DecodeLayout layout{};
  std::int64_t blocks = 0;
};

std::size_t shared_memory_of_device() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "cudaDeviceGetAttribute");
  return static_cast<std::size_t>(bytes);
}

template <typename T>
class LauncherOf final : public DecodeLauncher {
 public:
  LauncherOf(Stream stream, const DecodeModel& model) : stream_(stream) {
    arguments_.sizes = model.sizes;
    if (!decode_takes(model.sizes)) return;
    f32_ = plan<float>();
    bf16_ = plan<Bf16>();
    if (f32_.blocks + bf16_.blocks == 0) return;
    place_scratch();
    make_layers(model);
    arguments_.embedding = static_cast<const T*>(model.embedding);
    arguments_.norm = static_cast<const T*>(model.norm);
    arguments_.head.weights = weights_of<T>(model.head);
    arguments_.eps = model.eps;
    arguments_.attention_factor = model.attention_factor;
    arguments_.scale = model.scale;
  }

  bool launches(DType cache) const override { return cache != DType::f16 && of(cache).blocks > 0; }

  void run(const Tables& tables, DType cache, float* logits) const override {
    DecodeArguments<T> arguments = arguments_;
    arguments.layout = of(cache).layout;
    arguments.head.logits = logits;
    arguments.tokens = tables.tokens;
    arguments.positions = tables.positions;
    arguments.inv_freq = tables.inv_freq;
    arguments.steps = tables.steps;
    arguments.runs = tables.runs;
    LaunchShape shape;
    shape.blocks_x = of(cache).blocks;
    shape.threads = kDecodeThreads;
    shape.shared_bytes = arguments.layout.bytes;
    const auto kernel = cache == DType::f32 ? decode_step_kernel<T, float> : decode_step_kernel<T, Bf16>;
    launch_cooperative("decode_step", kernel, shape, stream_, arguments);
  }

 private:
  const DecodeLaunch& of(DType cache) const { return cache == DType::f32 ? f32_ : bf16_; }

  template <typename Cache>
  DecodeLaunch plan() const {
    DecodeLaunch made;
    made.layout =
        plan_decode(arguments_.sizes, sizeof(T), sizeof(Cache), kDecodeTableBytes, shared_memory_of_device());
    if (made.layout.tile_keys == 0) return {};
    made.blocks =
        blocks_at_once("decode_step", decode_step_kernel<T, Cache>, kDecodeThreads, made.layout.bytes);
    return made;
  }

  // Each part at 16 bytes: their sizes are multiples of 8 elements.
  void place_scratch() {
    const DecodeSizes& sizes = arguments_.sizes;
    const std::int64_t context = sizes.heads * sizes.head_dim;
    const std::int64_t projected = context + 2 * sizes.kv_heads * sizes.head_dim;
    const std::int64_t all = sizes.hidden + projected + context + sizes.intermediate;
    scratch_.reserve(static_cast<std::size_t>(all) * sizeof(T), "a decode step's activations");
    DecodeScratch<T>& parts = arguments_.scratch;
    parts.stream = scratch_.as<T>();
    parts.projections = parts.stream + sizes.hidden;
    parts.context = parts.projections + projected;
    parts.act = parts.context + context;
  }

  DecodeLayer<T> layer_of(const DecodeModelLayer& layer) const {
    const DecodeScratch<T>& parts = arguments_.scratch;
    DecodeLayer<T> made{};
    made.input_norm = static_cast<const T*>(layer.input_norm);
    made.post_norm = static_cast<const T*>(layer.post_norm);
    T* to = parts.projections;
    int i = 0;
    for (const LinearLayer* each : {&layer.q, &layer.k, &layer.v}) {
      made.queries.weights[i] = weights_of<T>(*each);
      made.queries.y[i++] = to;
      to += each->outs;
    }
    made.attention_output = {weights_of<T>(layer.o), parts.stream};
    made.gate_up = {weights_of<T>(layer.gate), weights_of<T>(layer.up), parts.act};
    made.down = {weights_of<T>(layer.down), parts.stream};
    made.window = layer.window;
    return made;
  }

  void make_layers(const DecodeModel& model) {
    std::vector<DecodeLayer<T>> table;
    for (const DecodeModelLayer& layer : model.layers) table.push_back(layer_of(layer));
    const std::size_t bytes = table.size() * sizeof(DecodeLayer<T>);
    layers_.reserve(bytes, "a decode step's table of layers");
    copy_to_device(stream_, layers_.data(), table.data(), bytes);
    arguments_.layers = layers_.as<const DecodeLayer<T>>();
    arguments_.layer_count = static_cast<std::int64_t>(table.size());
  }

  Stream stream_;
  DecodeLaunch f32_, bf16_;
  DecodeArguments<T> arguments_{};
  DeviceBuffer scratch_, layers_;
};

}  // namespace

std::unique_ptr<DecodeLauncher> make_decode_launcher(Stream stream, const DecodeModel& model) {
  std::unique_ptr<DecodeLauncher> made;
  for_storage(model.storage,
              [&](auto element) { made = std::make_unique<LauncherOf<decltype(element)>>(stream, model); });
  return made;
}

}  // namespace plumbline::native::cuda
