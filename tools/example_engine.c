// An engine that is not plumbline's: Qwen2 in plain C, f32, one scalar loop for each formula, which records
// every probe by plumbline_trace.h. It shows what a line of recording looks like in an engine (look for
// record_), and it can be wrong on purpose:
//
//   example-engine --model fixtures/models/tiny --tokens 10,11,12 --steps 3 -o mine.safetensors
//   plumbline judge mine.safetensors --model fixtures/models/tiny
//
// --tokens may be repeated: each is one sequence. --bug NAME plants a mistake (kBugs). Checkpoints are one
// f32 file with Qwen2's plain rotary embedding and no sliding window.
#include <math.h>
#include <signal.h>

#include "plumbline_trace.h"

enum { kMaxTokens = 4096, kMaxPrompt = 2048, kMaxLayers = 128, kMaxSequences = 16 };

static const char* const kBugs[] = {"rope-interleaved", "eps-outside-root", "kv-heads-tiled",
                                    "scale-missing"};
enum { kNoBug = -1, kRopeInterleaved, kEpsOutsideRoot, kKvHeadsTiled, kScaleMissing, kBugCount };

typedef struct Layer {
  const float *input_norm, *q, *q_bias, *k, *k_bias, *v, *v_bias, *o, *post_norm, *gate, *up, *down;
  float *keys, *values;  // the cache: [kv_heads, kMaxTokens, head_dim]
} Layer;

typedef struct Engine {
  char* file;  // the whole checkpoint: length, JSON, data
  int hidden, intermediate, layers, heads, kv_heads, head_dim, vocab;
  float eps, theta;
  const float *embedding, *norm, *head;
  Layer layer[kMaxLayers];
  int cached;  // tokens that the caches hold
  int bug;
  plumbline_trace trace;
} Engine;

static void fail(const char* what, const char* where) {
  fprintf(stderr, "example-engine: %s: %s\n", where, what);
  exit(2);
}

static void* allocate(size_t size) {
  void* memory = calloc(size > 0 ? size : 1, 1);
  if (memory == NULL) fail("out of memory", "example-engine");
  return memory;
}

static float* floats(int rows, int columns) {
  return (float*)allocate((size_t)rows * (size_t)columns * sizeof(float));
}

// The checkpoint.

static char* read_file(const char* folder, const char* name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE* file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail("cannot be read", path);
  const long size = ftell(file);
  char* text = (char*)allocate((size_t)size + 9);  // ends in zeros
  rewind(file);
  if (size < 0 || fread(text, 1, (size_t)size, file) != (size_t)size) fail("cannot be read", path);
  fclose(file);
  return text;
}

static double config_number(const char* config, const char* key) {
  char quoted[64];
  snprintf(quoted, sizeof quoted, "\"%s\":", key);
  const char* found = strstr(config, quoted);
  if (found == NULL) fail("not in config.json", key);
  return strtod(found + strlen(quoted), NULL);
}

static const float* find_weight(const Engine* engine, const char* name) {
  char quoted[160];
  uint64_t header_size;
  memcpy(&header_size, engine->file, sizeof header_size);
  snprintf(quoted, sizeof quoted, "\"%s\":{\"dtype\":\"F32\",", name);
  const char* entry = strstr(engine->file + 8, quoted);
  const char* offsets = entry == NULL ? NULL : strstr(entry, "\"data_offsets\":[");
  if (offsets == NULL) return NULL;
  return (const float*)(const void*)(engine->file + 8 + header_size + strtoull(offsets + 16, NULL, 10));
}

static const float* weight(const Engine* engine, const char* name) {
  const float* found = find_weight(engine, name);
  if (found == NULL) fail("no such f32 tensor in the checkpoint", name);
  return found;
}

static const float* layer_weight(const Engine* engine, int layer, const char* rest) {
  char name[128];
  snprintf(name, sizeof name, "model.layers.%d.%s", layer, rest);
  return weight(engine, name);
}

static void load(Engine* engine, const char* folder) {
  char* config = read_file(folder, "config.json");
  engine->hidden = (int)config_number(config, "hidden_size");
  engine->intermediate = (int)config_number(config, "intermediate_size");
  engine->layers = (int)config_number(config, "num_hidden_layers");
  engine->heads = (int)config_number(config, "num_attention_heads");
  engine->kv_heads = (int)config_number(config, "num_key_value_heads");
  engine->head_dim = engine->hidden / engine->heads;
  engine->vocab = (int)config_number(config, "vocab_size");
  engine->eps = (float)config_number(config, "rms_norm_eps");
  engine->theta = (float)config_number(config, "rope_theta");
  free(config);
  if (engine->layers > kMaxLayers) fail("too many layers", folder);
  engine->file = read_file(folder, "model.safetensors");
  engine->embedding = weight(engine, "model.embed_tokens.weight");
  engine->norm = weight(engine, "model.norm.weight");
  engine->head = find_weight(engine, "lm_head.weight");
  if (engine->head == NULL) engine->head = engine->embedding;  // tied
  for (int l = 0; l < engine->layers; ++l) {
    Layer* layer = &engine->layer[l];
    layer->input_norm = layer_weight(engine, l, "input_layernorm.weight");
    layer->q = layer_weight(engine, l, "self_attn.q_proj.weight");
    layer->q_bias = layer_weight(engine, l, "self_attn.q_proj.bias");
    layer->k = layer_weight(engine, l, "self_attn.k_proj.weight");
    layer->k_bias = layer_weight(engine, l, "self_attn.k_proj.bias");
    layer->v = layer_weight(engine, l, "self_attn.v_proj.weight");
    layer->v_bias = layer_weight(engine, l, "self_attn.v_proj.bias");
    layer->o = layer_weight(engine, l, "self_attn.o_proj.weight");
    layer->post_norm = layer_weight(engine, l, "post_attention_layernorm.weight");
    layer->gate = layer_weight(engine, l, "mlp.gate_proj.weight");
    layer->up = layer_weight(engine, l, "mlp.up_proj.weight");
    layer->down = layer_weight(engine, l, "mlp.down_proj.weight");
    layer->keys = floats(engine->kv_heads * kMaxTokens, engine->head_dim);
    layer->values = floats(engine->kv_heads * kMaxTokens, engine->head_dim);
  }
}

// Recording. A status is not looked at here: the writer keeps the first problem, and main asks
// for it at the end.

static void record(Engine* engine, const char* name, plumbline_trace_dtype dtype, int64_t rows,
                   int64_t columns, const void* data) {
  const int64_t shape[] = {rows, columns};
  plumbline_trace_tensor(&engine->trace, name, dtype, columns > 0 ? 2 : 1, shape, NULL, data);
}

static void record_rows(Engine* engine, int layer, const char* rest, int rows, int columns,
                        const float* data) {
  char name[64];
  snprintf(name, sizeof name, "model.layers.%d.%s", layer, rest);
  record(engine, name, PLUMBLINE_TRACE_F32, rows, columns, data);
}

static void record_cube(Engine* engine, int layer, const char* rest, int a, int b, int c, const float* data) {
  char name[64];
  const int64_t shape[] = {a, b, c};
  snprintf(name, sizeof name, "model.layers.%d.%s", layer, rest);
  plumbline_trace_tensor(&engine->trace, name, PLUMBLINE_TRACE_F32, 3, shape, NULL, data);
}

// The trace has [tokens, kv_heads, head_dim]; here heads come first, and not all slots are taken: strides say
// so.
static void record_cache(Engine* engine, int layer, const char* which, int tokens, const float* cache) {
  char name[64];
  const int64_t shape[] = {tokens, engine->kv_heads, engine->head_dim};
  const int64_t strides[] = {engine->head_dim, (int64_t)kMaxTokens * engine->head_dim, 1};
  snprintf(name, sizeof name, "past_key_values.%d.%s", layer, which);
  plumbline_trace_tensor(&engine->trace, name, PLUMBLINE_TRACE_F32, 3, shape, strides, cache);
}

// The formulas.

static void rms_norm(const Engine* engine, int rows, const float* x, const float* gain, float* y) {
  const int n = engine->hidden;
  for (int t = 0; t < rows; ++t) {
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) sum += x[t * n + i] * x[t * n + i];
    const float mean = sum / (float)n;
    const float root = engine->bug == kEpsOutsideRoot ? sqrtf(mean) + engine->eps : sqrtf(mean + engine->eps);
    for (int i = 0; i < n; ++i) y[t * n + i] = x[t * n + i] / root * gain[i];
  }
}

// y[t, o] = sum of x[t, i] w[o, i], and a bias where there is one.
static void linear(int rows, int inputs, int outputs, const float* x, const float* w, const float* bias,
                   float* y) {
  for (int t = 0; t < rows; ++t) {
    for (int o = 0; o < outputs; ++o) {
      float sum = 0.0f;
      for (int i = 0; i < inputs; ++i) sum += x[t * inputs + i] * w[(size_t)o * (size_t)inputs + (size_t)i];
      y[t * outputs + o] = bias == NULL ? sum : sum + bias[o];
    }
  }
}

// x and y: [rows, heads, head_dim]; channels i and i + head_dim / 2 are a pair.
static void rope(const Engine* engine, int rows, int heads, const float* x, const float* cosines,
                 const float* sines, float* y) {
  const int d = engine->head_dim, half = d / 2;
  for (int t = 0; t < rows; ++t) {
    for (int h = 0; h < heads; ++h) {
      const float* from = x + (t * heads + h) * d;
      float* to = y + (t * heads + h) * d;
      for (int i = 0; i < half; ++i) {
        const int a = engine->bug == kRopeInterleaved ? 2 * i : i;
        const int b = engine->bug == kRopeInterleaved ? 2 * i + 1 : i + half;
        to[a] = from[a] * cosines[t * d + i] - from[b] * sines[t * d + i];
        to[b] = from[b] * cosines[t * d + i] + from[a] * sines[t * d + i];
      }
    }
  }
}

// x: [rows, kv_heads, head_dim], behind what the cache holds.
static void append(const Engine* engine, int rows, const float* x, float* cache) {
  const int d = engine->head_dim;
  for (int t = 0; t < rows; ++t) {
    for (int h = 0; h < engine->kv_heads; ++h) {
      memcpy(cache + (h * kMaxTokens + engine->cached + t) * d, x + (t * engine->kv_heads + h) * d,
             (size_t)d * sizeof(float));
    }
  }
}

// scores and probs: [heads, rows, keys]; context: [rows, heads * head_dim]. Query t sees the keys up to its
// own.
static void attention(const Engine* engine, const Layer* layer, int rows, const float* queries, float* scores,
                      float* probs, float* context) {
  const int d = engine->head_dim, keys = engine->cached + rows, group = engine->heads / engine->kv_heads;
  const float scale = engine->bug == kScaleMissing ? 1.0f : 1.0f / sqrtf((float)d);
  for (int h = 0; h < engine->heads; ++h) {
    const int kv = engine->bug == kKvHeadsTiled ? h % engine->kv_heads : h / group;
    for (int t = 0; t < rows; ++t) {
      const int seen = engine->cached + t + 1;
      const float* query = queries + (t * engine->heads + h) * d;
      float* score = scores + (h * rows + t) * keys;
      float* prob = probs + (h * rows + t) * keys;
      float* out = context + (t * engine->heads + h) * d;
      float largest = -INFINITY, sum = 0.0f;
      for (int c = 0; c < keys; ++c) {
        const float* key = layer->keys + (kv * kMaxTokens + c) * d;
        float dot = 0.0f;
        for (int i = 0; i < d; ++i) dot += query[i] * key[i];
        score[c] = dot * scale;
        if (c < seen && score[c] > largest) largest = score[c];
      }
      for (int c = 0; c < keys; ++c) {
        prob[c] = c < seen ? expf(score[c] - largest) : 0.0f;
        sum += prob[c];
      }
      for (int i = 0; i < d; ++i) out[i] = 0.0f;
      for (int c = 0; c < keys; ++c) {
        prob[c] /= sum;
        for (int i = 0; i < d; ++i) out[i] += prob[c] * layer->values[(kv * kMaxTokens + c) * d + i];
      }
    }
  }
}

// Positions, mask and the table of cosines and sines ([rows, head_dim], its halves alike).
static void prepare(Engine* engine, int rows, const int64_t* ids, float* cosines, float* sines) {
  const int d = engine->head_dim, keys = engine->cached + rows;
  float* frequencies = floats(d / 2, 1);
  int64_t* positions = (int64_t*)allocate((size_t)rows * sizeof(int64_t));
  unsigned char* mask = (unsigned char*)allocate((size_t)rows * (size_t)keys);
  for (int i = 0; i < d / 2; ++i) {
    frequencies[i] = (float)(1.0 / pow((double)engine->theta, 2.0 * i / d));
  }
  for (int t = 0; t < rows; ++t) {
    positions[t] = engine->cached + t;
    for (int c = 0; c <= engine->cached + t; ++c) mask[t * keys + c] = 1;
    for (int i = 0; i < d; ++i) {
      const float angle = (float)positions[t] * frequencies[i % (d / 2)];
      cosines[t * d + i] = cosf(angle);
      sines[t * d + i] = sinf(angle);
    }
  }
  record(engine, "input_ids", PLUMBLINE_TRACE_I64, rows, 0, ids);
  record(engine, "position_ids", PLUMBLINE_TRACE_I64, rows, 0, positions);
  record(engine, "attention_mask", PLUMBLINE_TRACE_BOOL, rows, keys, mask);
  record(engine, "model.rotary_emb.inv_freq", PLUMBLINE_TRACE_F32, d / 2, 0, frequencies);
  record(engine, "model.rotary_emb.cos", PLUMBLINE_TRACE_F32, rows, d, cosines);
  record(engine, "model.rotary_emb.sin", PLUMBLINE_TRACE_F32, rows, d, sines);
  free(frequencies);
  free(positions);
  free(mask);
}

// x, the residual stream, [rows, hidden], goes through one layer.
static void run_layer(Engine* engine, int l, int rows, const float* cosines, const float* sines, float* x) {
  const Layer* layer = &engine->layer[l];
  const int n = engine->hidden, m = engine->intermediate, d = engine->head_dim, keys = engine->cached + rows;
  const int heads = engine->heads, kv_heads = engine->kv_heads;
  float *normed = floats(rows, n), *out = floats(rows, n), *context = floats(rows, n);
  float *q = floats(rows, n), *k = floats(rows, kv_heads * d), *v = floats(rows, kv_heads * d);
  float *q_rope = floats(rows, n), *k_rope = floats(rows, kv_heads * d);
  float *scores = floats(heads * rows, keys), *probs = floats(heads * rows, keys);
  float *gate = floats(rows, m), *up = floats(rows, m), *act = floats(rows, m);

  rms_norm(engine, rows, x, layer->input_norm, normed);
  record_rows(engine, l, "input_layernorm", rows, n, normed);
  linear(rows, n, n, normed, layer->q, layer->q_bias, q);
  record_rows(engine, l, "self_attn.q_proj", rows, n, q);
  linear(rows, n, kv_heads * d, normed, layer->k, layer->k_bias, k);
  record_rows(engine, l, "self_attn.k_proj", rows, kv_heads * d, k);
  linear(rows, n, kv_heads * d, normed, layer->v, layer->v_bias, v);
  record_rows(engine, l, "self_attn.v_proj", rows, kv_heads * d, v);
  rope(engine, rows, heads, q, cosines, sines, q_rope);
  record_cube(engine, l, "self_attn.q_rope", rows, heads, d, q_rope);
  rope(engine, rows, kv_heads, k, cosines, sines, k_rope);
  record_cube(engine, l, "self_attn.k_rope", rows, kv_heads, d, k_rope);
  append(engine, rows, k_rope, layer->keys);
  append(engine, rows, v, layer->values);
  record_cache(engine, l, "key", keys, layer->keys);
  record_cache(engine, l, "value", keys, layer->values);
  attention(engine, layer, rows, q_rope, scores, probs, context);
  record_cube(engine, l, "self_attn.scores", heads, rows, keys, scores);
  record_cube(engine, l, "self_attn.probs", heads, rows, keys, probs);
  record_rows(engine, l, "self_attn.context", rows, n, context);
  linear(rows, n, n, context, layer->o, NULL, out);
  record_rows(engine, l, "self_attn.o_proj", rows, n, out);
  for (int i = 0; i < rows * n; ++i) x[i] += out[i];
  record_rows(engine, l, "attn_residual", rows, n, x);

  rms_norm(engine, rows, x, layer->post_norm, normed);
  record_rows(engine, l, "post_attention_layernorm", rows, n, normed);
  linear(rows, n, m, normed, layer->gate, NULL, gate);
  record_rows(engine, l, "mlp.gate_proj", rows, m, gate);
  linear(rows, n, m, normed, layer->up, NULL, up);
  record_rows(engine, l, "mlp.up_proj", rows, m, up);
  for (int i = 0; i < rows * m; ++i) act[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
  record_rows(engine, l, "mlp.act", rows, m, act);
  linear(rows, m, n, act, layer->down, NULL, out);
  record_rows(engine, l, "mlp.down_proj", rows, n, out);
  for (int i = 0; i < rows * n; ++i) x[i] += out[i];
  record_rows(engine, l, "mlp_residual", rows, n, x);

  float* const all[] = {normed, out, context, q, k, v, q_rope, k_rope, scores, probs, gate, up, act};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; ++i) free(all[i]);
}

// One forward call of the new tokens; the token that is likeliest to follow.
static int64_t forward(Engine* engine, int rows, const int64_t* ids) {
  const int n = engine->hidden;
  float *cosines = floats(rows, engine->head_dim), *sines = floats(rows, engine->head_dim);
  float *x = floats(rows, n), *normed = floats(rows, n), *logits = floats(rows, engine->vocab);
  prepare(engine, rows, ids, cosines, sines);
  for (int t = 0; t < rows; ++t) memcpy(x + t * n, engine->embedding + ids[t] * n, (size_t)n * sizeof(float));
  record(engine, "model.embed_tokens", PLUMBLINE_TRACE_F32, rows, n, x);
  for (int l = 0; l < engine->layers; ++l) run_layer(engine, l, rows, cosines, sines, x);
  rms_norm(engine, rows, x, engine->norm, normed);
  record(engine, "model.norm", PLUMBLINE_TRACE_F32, rows, n, normed);
  linear(rows, n, engine->vocab, normed, engine->head, NULL, logits);
  record(engine, "lm_head", PLUMBLINE_TRACE_F32, rows, engine->vocab, logits);
  engine->cached += rows;

  const float* last = logits + (rows - 1) * engine->vocab;
  int best = 0;
  for (int i = 1; i < engine->vocab; ++i) {
    if (last[i] > last[best]) best = i;
  }
  float* const all[] = {cosines, sines, x, normed, logits};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; ++i) free(all[i]);
  return best;
}

static int parse_tokens(const Engine* engine, const char* text, int64_t* ids) {
  int count = 0;
  for (const char* c = text;; ++c) {
    char* end;
    const long id = strtol(c, &end, 10);
    if (end == c || (*end != ',' && *end != '\0') || id < 0 || id >= engine->vocab || count == kMaxPrompt) {
      fail("token ids of the vocabulary are asked for, as in 1,2,3", text);
    }
    ids[count++] = id;
    if (*end == '\0') return count;
    c = end;
  }
}

// `ids`: the prompt, overwritten by what follows it.
static void run_sequence(Engine* engine, int sequence, int count, int64_t* ids, int steps) {
  engine->cached = 0;
  for (int step = 0; step < steps; ++step) {
    plumbline_trace_begin_step(&engine->trace, sequence, step);
    ids[0] = forward(engine, count, ids);
    count = 1;
  }
}

int main(int argc, char** argv) {
  static Engine engine;
  static int64_t ids[kMaxSequences][kMaxPrompt];
  const char *model = NULL, *output = NULL, *texts[kMaxSequences];
  int lengths[kMaxSequences], count = 0, steps = 1;
  engine.bug = kNoBug;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--model") == 0) model = argv[i + 1];
    if (strcmp(argv[i], "-o") == 0) output = argv[i + 1];
    if (strcmp(argv[i], "--steps") == 0) steps = atoi(argv[i + 1]);
    if (strcmp(argv[i], "--tokens") == 0 && count < kMaxSequences) texts[count++] = argv[i + 1];
    if (strcmp(argv[i], "--bug") != 0) continue;
    for (int bug = 0; bug < kBugCount; ++bug) {
      if (strcmp(argv[i + 1], kBugs[bug]) == 0) engine.bug = bug;
    }
    if (engine.bug == kNoBug) fail("no such bug", argv[i + 1]);
  }
  if (model == NULL || output == NULL || count == 0 || steps < 1 || steps > kMaxTokens - kMaxPrompt) {
    fail("--model DIR --tokens 1,2,3 [--tokens ...] [--steps N] [--bug NAME] -o FILE", "usage");
  }
#ifdef SIGXFSZ
  signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is then an error of the trace, like a full disk
#endif
  load(&engine, model);
  for (int i = 0; i < count; ++i) lengths[i] = parse_tokens(&engine, texts[i], ids[i]);
  const char* about[] = {"engine", "example-engine", "storage_dtype", "f32", "device", "cpu", NULL};
  plumbline_trace_open(&engine.trace, output, about);
  for (int i = 0; i < count; ++i) run_sequence(&engine, i, lengths[i], ids[i], steps);
  if (plumbline_trace_close(&engine.trace) != PLUMBLINE_TRACE_OK) {
    fprintf(stderr, "example-engine: %s\n", engine.trace.problem);
    return 2;
  }
  return 0;
}
