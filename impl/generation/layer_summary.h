// Running statistics of a probe, layer by layer, over all tokens that go through the engine; as numbers, and
// as a text that is short enough to hand to a language model. And what differs between two layers, or two
// runs.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "impl/generation/captured_tokens.h"
#include "impl/generation/step_sink.h"

namespace plumbline::native {

struct ChannelStatistics {
  std::int64_t channel = 0;
  double mean = 0;
  double mean_magnitude = 0;  // of |x|
};

// Over the elements of all rows, summed in f64. Of nothing all are 0. Elements that are NaN or infinite are
// counted, and left out, and so are the norms of their rows.
struct LayerStatistics {
  int layer = -1;                              // -1: a probe outside the layers
  std::int64_t tokens = 0;                     // rows
  double mean = 0, std = 0, min = 0, max = 0;  // std divides by the number of elements
  double mean_norm = 0, max_norm = 0;          // L2, of rows
  std::int64_t non_finite = 0;
  std::vector<ChannelStatistics> channels;  // [width]
  std::vector<ChannelStatistics> top;       // the largest mean |x| first
};

class LayerSummary final : public StepSink {
 public:
  // `probe`: any with a row of floats for every token. Throws Error for another, and for a negative number of
  // top channels (more than there are is all). The engine must outlive it.
  explicit LayerSummary(Engine& engine, Probe probe = Probe::mlp_residual, int top_channels = 8);

  // Tokens of a forward() that throws do not count.
  void begin(std::span<const SequenceStep> steps) override;
  Access access(const ProbeId& id) const override;
  void receive(const ProbeId& id, const TensorView& view) override;

  Probe probe() const { return probe_; }
  std::int64_t tokens() const { return sums_.front().tokens; }
  std::vector<LayerStatistics> layers() const;  // one of the model for a probe outside the layers
  // A line on what it is, then one for each layer.
  std::string text() const;
  void clear();

 private:
  struct Sums {
    std::int64_t tokens = 0, elements = 0, rows = 0;  // rows: with a norm
    std::map<std::size_t, std::int64_t> non_finite;   // by channel
    double squares = 0, norms = 0, max_norm = 0;
    double min = std::numeric_limits<double>::infinity(), max = -min;
    std::vector<double> values, magnitudes;  // [width]
    void add_row(const float* row);
    void add(const Sums& other);
    void reset();
  };
  LayerStatistics statistics_of(std::size_t slot) const;

  Engine& engine_;
  Probe probe_;
  int top_channels_;
  bool in_layers_;
  CapturedTokens tokens_;
  std::vector<Sums> sums_, pending_;  // by layer; pending: of the call under way
};

// From one layer, a, to another, b.
struct LayerChange {
  int layer_a = -1, layer_b = -1;
  double cosine = 0;  // of the rows of channel means; 0 where one is all zeros
  double norm = 0;    // mean_norm of b over that of a, less 1; 0 where a's is 0
  struct Channel {
    std::int64_t channel = 0;
    double mean_a = 0, mean_b = 0;
  };
  std::vector<Channel> channels;  // whose means differ, those farthest apart first
};

// Throws Error for rows of different width, and a negative number of channels.
LayerChange compare(const LayerStatistics& a, const LayerStatistics& b, int channels = 8);
// Layer by layer. Throws Error for summaries of different probes or numbers of layers.
std::vector<LayerChange> compare(const LayerSummary& a, const LayerSummary& b, int channels = 8);
// A line on what it is, then one for each change.
std::string text_of(const std::vector<LayerChange>& changes);

}  // namespace plumbline::native
