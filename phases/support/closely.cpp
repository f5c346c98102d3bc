#include "phases/support/closely.h"

#include "harness/evidence.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

// The output and all that its replay may read: of the op's own layer, and what the step was given.
ProbeFilter probes_of(OpSite site) {
  std::vector<std::string> names{"input_ids", "position_ids", "attention_mask*", site_name(site)};
  for (const OpInput& input : probe_spec(site.probe).inputs) {
    const bool in_layer = probe_spec(input.probe).scope == ProbeScope::layer;
    if (input.source == InputSource::probe) {
      names.push_back(site_name({input.probe, in_layer ? site.layer : -1}));
    } else if (input.source == InputSource::residual_stream) {
      // After the layers it is the last one's; a layer that is not there matches nothing.
      const int layer = site.layer >= 0 ? site.layer : static_cast<int>(subject().config().num_hidden_layers);
      names.push_back(layer == 0 ? "model.embed_tokens" : site_name({Probe::mlp_residual, layer - 1}));
    }
  }
  return ProbeFilter(names);
}

}  // namespace

void add_worst_ops_seen_closely(const std::vector<Prompt>& prompts) {
  std::vector<const Judgement*> judgements;
  for (const Prompt& prompt : prompts) judgements.push_back(&judged(prompt).judgement);
  for (const auto& [run, op] : ops_to_see_closely(judgements)) {
    const Trace trace = record_prefill(subject(), prompts[run].ids, probes_of(op->site));
    const TraceMetadata& made = trace.metadata;
    for (Evidence& seen : op_seen_closely(op->site, prompts[run].name, TraceStepView(trace, 0), replayer(),
                                          tolerances(), made.storage, made.device)) {
      add_evidence(std::move(seen));
    }
  }
}

}  // namespace plumbline::phases
