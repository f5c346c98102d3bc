// Writes a trace (docs/trace-format.md) from any engine in C99 or C++11, with libc alone: copy this file.
//
//   plumbline_trace trace;
//   const char* about[] = {"engine", "mine", "storage_dtype", "f32", NULL};
//   plumbline_trace_open(&trace, "mine.safetensors", about);
//   plumbline_trace_begin_step(&trace, 0, 0);
//   const int64_t shape[] = {tokens, hidden};
//   plumbline_trace_tensor(&trace, "model.norm", PLUMBLINE_TRACE_F32, 2, shape, NULL, normed);
//   if (plumbline_trace_close(&trace) != PLUMBLINE_TRACE_OK) fprintf(stderr, "%s\n", trace.problem);
//
// Every call returns a status. The first that is not OK is kept, with one line in `problem`; all later calls
// return it and do nothing, so asking close() alone is enough. Nothing is printed, nothing aborts, nothing is
// global: one writer for each file, and one thread at a time for each writer.
//
// Tensors go to a temporary file beside `path` as they come; memory is needed for their names only. close()
// gives the file its name, whole; after any problem, and after discard(), nothing is left and an old file of
// that name is as it was. Signals are the program's part: one that ends it leaves ".FILE.tmp*" behind,
// and a limit on file sizes is an error only where SIGXFSZ is ignored.
#ifndef PLUMBLINE_TRACE_H
#define PLUMBLINE_TRACE_H

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum plumbline_trace_status {
  PLUMBLINE_TRACE_OK = 0,
  PLUMBLINE_TRACE_BAD_CALL,  // out of turn, or arguments that no trace can have
  PLUMBLINE_TRACE_BAD_NAME,  // not in the format's table, or there already
  PLUMBLINE_TRACE_NO_MEMORY,
  PLUMBLINE_TRACE_BAD_FILE  // could not be written: full disk, no such folder, no permission
} plumbline_trace_status;

typedef enum plumbline_trace_dtype {
  PLUMBLINE_TRACE_F64,
  PLUMBLINE_TRACE_F32,
  PLUMBLINE_TRACE_F16,
  PLUMBLINE_TRACE_BF16,
  PLUMBLINE_TRACE_I64,
  PLUMBLINE_TRACE_I32,
  PLUMBLINE_TRACE_BOOL  // one byte each, 0 or 1
} plumbline_trace_dtype;

// Read `status` and `problem`; the rest is the writer's.
typedef struct plumbline_trace {
  plumbline_trace_status status;
  char problem[640];
  FILE* file;       // NULL: not open
  char* path;       // what the file will be called
  char* temporary;  // what it is called meanwhile
  char* header;     // JSON, without the last brace
  size_t header_used, header_room;
  size_t* names;  // hash table: where in `header` a name begins, 0 for none
  size_t names_used, names_room;
  int* sequences;  // pairs: a sequence's number, the number of its steps that hold a tensor
  size_t sequences_used, sequences_room;
  uint64_t data_size;  // bytes of tensors so far
  size_t tensors;
  size_t current;  // index of the pair of begin_step
  int step;        // -1: no begin_step yet
} plumbline_trace;

enum {
  // Kept free before the data: a length of 8 bytes, and a header of some two thousand tensors. One that is
  // longer makes close() move the data once.
  PLUMBLINE_TRACE_RESERVED = 256 * 1024,
  PLUMBLINE_TRACE_LARGEST_HEADER = 100 * 1000 * 1000,  // what safetensors libraries read
  PLUMBLINE_TRACE_MOVED_AT_ONCE = 1024 * 1024
};

// From here to open(): the writer's own.

static inline void plumbline_trace_release_(plumbline_trace* trace) {
  if (trace->file != NULL) fclose(trace->file);
  if (trace->temporary != NULL) remove(trace->temporary);
  free(trace->path);
  free(trace->temporary);
  free(trace->header);
  free(trace->names);
  free(trace->sequences);
  trace->file = NULL;
  trace->path = trace->temporary = trace->header = NULL;
  trace->names = NULL;
  trace->sequences = NULL;
}

static inline plumbline_trace_status plumbline_trace_fail_(plumbline_trace* trace,
                                                           plumbline_trace_status status, const char* subject,
                                                           const char* what) {
  if (trace->status == PLUMBLINE_TRACE_OK) {
    trace->status = status;
    snprintf(trace->problem, sizeof trace->problem, "%.300s: %s", subject, what);
  }
  plumbline_trace_release_(trace);
  return trace->status;
}

static inline plumbline_trace_status plumbline_trace_fail_file_(plumbline_trace* trace, const char* path) {
  char text[256];
  const int problem = errno;
  snprintf(text, sizeof text, "cannot be written: %s", problem != 0 ? strerror(problem) : "unknown reason");
  return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_FILE, path, text);
}

static inline plumbline_trace_status plumbline_trace_fail_memory_(plumbline_trace* trace) {
  return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_NO_MEMORY, "trace", "out of memory");
}

// OK when the trace can be added to.
static inline plumbline_trace_status plumbline_trace_ready_(plumbline_trace* trace, const char* call) {
  if (trace->status == PLUMBLINE_TRACE_OK && trace->file == NULL) {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, call, "the trace is closed");
  }
  return trace->status;
}

static inline char* plumbline_trace_copy_(const char* text, size_t size) {
  char* copy = (char*)malloc(size + 1);
  if (copy != NULL) {
    memcpy(copy, text, size);
    copy[size] = '\0';
  }
  return copy;
}

// The text is never formatted, so a name may have any character.
static inline int plumbline_trace_append_(plumbline_trace* trace, const char* text) {
  const size_t size = strlen(text);
  if (trace->header_room - trace->header_used <= size) {
    const size_t room = 2 * (trace->header_room + size) + 256;
    char* larger = (char*)realloc(trace->header, room);
    if (larger == NULL) return 0;
    trace->header = larger;
    trace->header_room = room;
  }
  memcpy(trace->header + trace->header_used, text, size + 1);
  trace->header_used += size;
  return 1;
}

static inline int plumbline_trace_is_one_of_(const char* word, const char* const* list) {
  for (; *list != NULL; ++list) {
    if (strcmp(word, *list) == 0) return 1;
  }
  return 0;
}

// A value that is read as its default would be a trace judged by the wrong rules.
static inline const char* plumbline_trace_metadata_problem_(const char* key, const char* value) {
  static const char* const keys[] = {"engine",       "storage_dtype", "compute_dtype", "device",
                                     "weight_hash",  "cache_dtype",   "cache_ring",    "rotary_dtype",
                                     "scores_dtype", "probs_dtype",   "rounding",      NULL};
  static const char* const dtypes[] = {"f32", "f64", "bf16", "f16", NULL};
  static const char* const devices[] = {"cpu", "cuda", NULL};
  static const char* const roundings[] = {"once", "each", NULL};
  const char* c;
  if (!plumbline_trace_is_one_of_(key, keys)) return "no such key; docs/trace-format.md lists them";
  if (value == NULL) return "key without a value";
  for (c = value; *c != '\0'; ++c) {
    if (*c < ' ' || *c > '~') return "only printable ASCII is taken";
  }
  if (strstr(key, "_dtype") != NULL && !plumbline_trace_is_one_of_(value, dtypes))
    return "f32, f64, bf16 or f16";
  if (strcmp(key, "device") == 0 && !plumbline_trace_is_one_of_(value, devices)) return "cpu or cuda";
  if (strcmp(key, "rounding") == 0 && !plumbline_trace_is_one_of_(value, roundings)) return "once or each";
  return NULL;
}

static inline plumbline_trace_status plumbline_trace_begin_header_(plumbline_trace* trace,
                                                                   const char* const* metadata) {
  int whole = plumbline_trace_append_(
      trace, "{\"__metadata__\":{\"format\":\"plumbline-trace\",\"format_version\":\"1\"");
  const char* const* pair;
  for (pair = metadata; metadata != NULL && *pair != NULL; pair += 2) {
    const char* problem = plumbline_trace_metadata_problem_(pair[0], pair[1]);
    const char* const* earlier;
    const char* c;
    for (earlier = metadata; problem == NULL && earlier != pair; earlier += 2) {
      if (strcmp(earlier[0], pair[0]) == 0) problem = "key given twice";
    }
    if (problem != NULL) return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, pair[0], problem);
    whole = whole && plumbline_trace_append_(trace, ",\"") && plumbline_trace_append_(trace, pair[0]) &&
            plumbline_trace_append_(trace, "\":\"");
    for (c = pair[1]; *c != '\0'; ++c) {
      char text[3] = {'\\', *c, '\0'};
      whole = whole && plumbline_trace_append_(trace, *c == '"' || *c == '\\' ? text : text + 1);
    }
    whole = whole && plumbline_trace_append_(trace, "\"");
  }
  whole = whole && plumbline_trace_append_(trace, "}");
  return whole ? PLUMBLINE_TRACE_OK : plumbline_trace_fail_memory_(trace);
}

// Beside the path, so that the rename at the end stays within one file system; under a name that nothing has.
static inline plumbline_trace_status plumbline_trace_make_file_(plumbline_trace* trace) {
  const char* slash = strrchr(trace->path, '/');
  const size_t folder = slash == NULL ? 0 : (size_t)(slash - trace->path) + 1;
  const size_t room = strlen(trace->path) + 48;
  unsigned long number =
      (unsigned long)time(NULL) * 31u + (unsigned long)clock() * 7u + (unsigned long)((uintptr_t)trace >> 4);
  char* name = (char*)malloc(room);
  FILE* there;
  if (name == NULL) return plumbline_trace_fail_memory_(trace);
  do {
    snprintf(name, room, "%.*s.%s.tmp%lx", (int)folder, trace->path, trace->path + folder, number++);
    there = fopen(name, "rb");
    if (there != NULL) fclose(there);
  } while (there != NULL);
  errno = 0;
  trace->file = fopen(name, "w+b");
  if (trace->file == NULL) {
    const int problem = errno;
    free(name);
    errno = problem;
    return plumbline_trace_fail_file_(trace, trace->path);
  }
  trace->temporary = name;
  return PLUMBLINE_TRACE_OK;
}

static inline int plumbline_trace_pad_(plumbline_trace* trace, uint64_t size) {
  char blanks[4096];
  memset(blanks, ' ', sizeof blanks);
  while (size > 0) {
    const size_t part = size < sizeof blanks ? (size_t)size : sizeof blanks;
    if (fwrite(blanks, 1, part, trace->file) != part) return 0;
    size -= part;
  }
  return 1;
}

// The rank that the format's table gives the tensor, -1 for a name that is not there.
static inline int plumbline_trace_rank_(const char* name) {
  static const struct {
    const char* name;
    int rank;
  } table[] = {{"input_ids", 1},
               {"position_ids", 1},
               {"attention_mask", 2},
               {"attention_mask.full", 2},
               {"attention_mask.sliding", 2},
               {"model.rotary_emb.inv_freq", 1},
               {"model.rotary_emb.cos", 2},
               {"model.rotary_emb.sin", 2},
               {"model.embed_tokens", 2},
               {"model.layers.N.input_layernorm", 2},
               {"model.layers.N.self_attn.q_proj", 2},
               {"model.layers.N.self_attn.k_proj", 2},
               {"model.layers.N.self_attn.v_proj", 2},
               {"model.layers.N.self_attn.q_rope", 3},
               {"model.layers.N.self_attn.k_rope", 3},
               {"past_key_values.N.key", 3},
               {"past_key_values.N.value", 3},
               {"model.layers.N.self_attn.scores", 3},
               {"model.layers.N.self_attn.probs", 3},
               {"model.layers.N.self_attn.context", 2},
               {"model.layers.N.self_attn.o_proj", 2},
               {"model.layers.N.attn_residual", 2},
               {"model.layers.N.post_attention_layernorm", 2},
               {"model.layers.N.mlp.gate_proj", 2},
               {"model.layers.N.mlp.up_proj", 2},
               {"model.layers.N.mlp.act", 2},
               {"model.layers.N.mlp.down_proj", 2},
               {"model.layers.N.mlp_residual", 2},
               {"model.norm", 2},
               {"lm_head", 2},
               {"sample.logits", 1},
               {"sample.penalized", 1},
               {"sample.scaled", 1},
               {"sample.top_k", 1},
               {"sample.top_p", 1},
               {"sample.min_p", 1},
               {"sample.probs", 1},
               {"sample.noise", 1},
               {"sample.token", 1}};
  size_t entry;
  for (entry = 0; entry < sizeof table / sizeof table[0]; ++entry) {
    const char* expected = table[entry].name;
    const char* c = name;
    for (; *expected != '\0'; ++expected) {
      if (*expected == 'N') {
        const size_t digits = strspn(c, "0123456789");  // without leading zeros
        if (digits == 0 || digits > 9 || (digits > 1 && *c == '0')) break;
        c += digits;
      } else if (*c++ != *expected) {
        break;
      }
    }
    if (*expected == '\0' && *c == '\0') return table[entry].rank;
  }
  return -1;
}

// Where the name stands in the hash table, or would.
static inline size_t plumbline_trace_slot_(const plumbline_trace* trace, const char* name, size_t size) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  size_t i, slot;
  for (i = 0; i < size; ++i) hash = (hash ^ (unsigned char)name[i]) * 1099511628211u;
  slot = (size_t)((hash ^ hash >> 32) % trace->names_room);
  while (trace->names[slot] != 0) {
    const char* there = trace->header + trace->names[slot];
    if (strncmp(there, name, size) == 0 && there[size] == '"') break;
    slot = (slot + 1) % trace->names_room;
  }
  return slot;
}

static inline int plumbline_trace_grow_names_(plumbline_trace* trace) {
  size_t* old = trace->names;
  const size_t old_room = trace->names_room;
  const size_t room = old_room == 0 ? 1024 : 2 * old_room;
  size_t i;
  size_t* larger = (size_t*)calloc(room, sizeof(size_t));
  if (larger == NULL) return 0;
  trace->names = larger;
  trace->names_room = room;
  for (i = 0; i < old_room; ++i) {
    if (old[i] != 0) {
      const char* name = trace->header + old[i];
      larger[plumbline_trace_slot_(trace, name, (size_t)(strchr(name, '"') - name))] = old[i];
    }
  }
  free(old);
  return 1;
}

static inline size_t plumbline_trace_size_of_(plumbline_trace_dtype dtype) {
  switch (dtype) {
    case PLUMBLINE_TRACE_F64:
    case PLUMBLINE_TRACE_I64:
      return 8;
    case PLUMBLINE_TRACE_F32:
    case PLUMBLINE_TRACE_I32:
      return 4;
    case PLUMBLINE_TRACE_F16:
    case PLUMBLINE_TRACE_BF16:
      return 2;
    case PLUMBLINE_TRACE_BOOL:
      return 1;
  }
  return 0;
}

// ,"name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}
static inline int plumbline_trace_append_entry_(plumbline_trace* trace, const char* name,
                                                plumbline_trace_dtype dtype, int rank, const int64_t* shape,
                                                uint64_t size) {
  static const char* const dtypes[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "BOOL"};
  char text[96];
  int axis;
  int whole = plumbline_trace_append_(trace, ",\"") && plumbline_trace_append_(trace, name) &&
              plumbline_trace_append_(trace, "\":{\"dtype\":\"") &&
              plumbline_trace_append_(trace, dtypes[dtype]) &&
              plumbline_trace_append_(trace, "\",\"shape\":[");
  for (axis = 0; axis < rank; ++axis) {
    snprintf(text, sizeof text, axis == 0 ? "%lld" : ",%lld", (long long)shape[axis]);
    whole = whole && plumbline_trace_append_(trace, text);
  }
  snprintf(text, sizeof text, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)trace->data_size,
           (unsigned long long)(trace->data_size + size));
  return whole && plumbline_trace_append_(trace, text);
}

// Row-major, whatever the strides: the axes at the end that lie contiguous are one write.
static inline int plumbline_trace_write_(plumbline_trace* trace, size_t element, int rank,
                                         const int64_t* shape, const int64_t* strides, const void* data) {
  int64_t index[4] = {0, 0, 0, 0};
  int64_t run = 1;
  int outer = rank, axis;
  errno = 0;
  while (outer > 0 && (strides == NULL || shape[outer - 1] == 1 || strides[outer - 1] == run)) {
    run *= shape[--outer];
  }
  do {
    int64_t offset = 0;
    for (axis = 0; axis < outer; ++axis) offset += index[axis] * strides[axis];
    if (fwrite((const char*)data + offset * (int64_t)element, element, (size_t)run, trace->file) !=
        (size_t)run) {
      return 0;
    }
    for (axis = outer; axis > 0 && ++index[axis - 1] == shape[axis - 1]; --axis) index[axis - 1] = 0;
  } while (axis > 0);
  return 1;
}

// Makes room for a long header: the data moves up, its end first.
static inline plumbline_trace_status plumbline_trace_move_(plumbline_trace* trace, uint64_t from,
                                                           uint64_t to) {
  const uint64_t most = PLUMBLINE_TRACE_MOVED_AT_ONCE;
  uint64_t left = trace->data_size;
  char* part = (char*)malloc(PLUMBLINE_TRACE_MOVED_AT_ONCE);
  int moved = part != NULL;
  if (part == NULL) return plumbline_trace_fail_memory_(trace);
  if (left > (uint64_t)LONG_MAX - to) {
    free(part);
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_FILE, trace->path,
                                 "too large for this system's fseek");
  }
  while (moved && left > 0) {
    const uint64_t size = left < most ? left : most;
    left -= size;
    moved = fseek(trace->file, (long)(from + left), SEEK_SET) == 0 &&
            fread(part, 1, (size_t)size, trace->file) == size &&
            fseek(trace->file, (long)(to + left), SEEK_SET) == 0 &&
            fwrite(part, 1, (size_t)size, trace->file) == size;
  }
  free(part);
  return moved ? PLUMBLINE_TRACE_OK : plumbline_trace_fail_file_(trace, trace->path);
}

// Begins a trace that will be the file `path`. `metadata`: keys and values of docs/trace-format.md in turn,
// then NULL; or NULL for none. The struct needs no initialisation; a second open() before close() would leak
// the first.
static inline plumbline_trace_status plumbline_trace_open(plumbline_trace* trace, const char* path,
                                                          const char* const* metadata) {
  const uint16_t one = 1;
  FILE* there;
  memset(trace, 0, sizeof *trace);
  trace->step = -1;
  if (path == NULL || *path == '\0' || path[strlen(path) - 1] == '/') {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, "open", "a file's path is asked for");
  }
  if (*(const unsigned char*)&one != 1) {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, path,
                                 "traces are written on little-endian machines");
  }
  errno = 0;
  there = fopen(path, "r+b");
  if (there != NULL) fclose(there);
  if (there == NULL && errno == EISDIR) return plumbline_trace_fail_file_(trace, path);
  trace->path = plumbline_trace_copy_(path, strlen(path));
  if (trace->path == NULL || !plumbline_trace_grow_names_(trace)) return plumbline_trace_fail_memory_(trace);
  if (plumbline_trace_begin_header_(trace, metadata) != PLUMBLINE_TRACE_OK) return trace->status;
  if (plumbline_trace_make_file_(trace) != PLUMBLINE_TRACE_OK) return trace->status;
  errno = 0;
  if (!plumbline_trace_pad_(trace, PLUMBLINE_TRACE_RESERVED)) return plumbline_trace_fail_file_(trace, path);
  return PLUMBLINE_TRACE_OK;
}

// What comes next is of this sequence and step, both counted from 0. Sequences may take turns, and a step may
// be gone back to. Without any call, all is sequence 0, step 0.
static inline plumbline_trace_status plumbline_trace_begin_step(plumbline_trace* trace, int sequence,
                                                                int step) {
  size_t at = 0;
  if (plumbline_trace_ready_(trace, "begin_step") != PLUMBLINE_TRACE_OK) return trace->status;
  if (sequence < 0 || step < 0) {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, "begin_step",
                                 "sequences and steps count from 0");
  }
  if (trace->step < 0 && trace->tensors > 0) {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, "begin_step",
                                 "comes before the first tensor, or never");
  }
  while (at < trace->sequences_used && trace->sequences[2 * at] != sequence) ++at;
  if (at == trace->sequences_room) {
    const size_t room = 2 * at + 8;
    int* larger = (int*)realloc(trace->sequences, 2 * room * sizeof(int));
    if (larger == NULL) return plumbline_trace_fail_memory_(trace);
    trace->sequences = larger;
    trace->sequences_room = room;
  }
  if (at == trace->sequences_used) {
    trace->sequences[2 * at] = sequence;
    trace->sequences[2 * at + 1] = 0;
    ++trace->sequences_used;
  }
  if (step > trace->sequences[2 * at + 1]) {
    char text[96];
    snprintf(text, sizeof text, "step %d of sequence %d, but step %d has no tensor yet", step, sequence,
             trace->sequences[2 * at + 1]);
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, "begin_step", text);
  }
  trace->current = at;
  trace->step = step;
  return PLUMBLINE_TRACE_OK;
}

// Writes one tensor of the step: `name` as in docs/trace-format.md without seq.I/step.N/ ("model.norm",
// "initial/past_key_values.0.key"). `strides` count elements, one for each axis, may be negative, and `data`
// is where element [0, 0, ...] lies; NULL: contiguous. The data is read before the call returns.
static inline plumbline_trace_status plumbline_trace_tensor(plumbline_trace* trace, const char* name,
                                                            plumbline_trace_dtype dtype, int rank,
                                                            const int64_t* shape, const int64_t* strides,
                                                            const void* data) {
  const size_t element = plumbline_trace_size_of_(dtype);
  uint64_t elements = 1;
  char full[128], text[96];
  int initial, expected, axis;
  size_t slot;
  if (plumbline_trace_ready_(trace, "tensor") != PLUMBLINE_TRACE_OK) return trace->status;
  if (name == NULL)
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, "tensor", "a name is asked for");
  initial = strncmp(name, "initial/", 8) == 0;
  expected = plumbline_trace_rank_(initial ? name + 8 : name);
  if (expected < 0 || (initial && strncmp(name + 8, "past_key_values.", 16) != 0)) {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_NAME, name,
                                 "no probe is called that; docs/trace-format.md lists them");
  }
  if (trace->step < 0) {
    snprintf(full, sizeof full, "%s", name);
  } else if (initial) {
    snprintf(full, sizeof full, "seq.%d/%s", trace->sequences[2 * trace->current], name);
  } else {
    snprintf(full, sizeof full, "seq.%d/step.%d/%s", trace->sequences[2 * trace->current], trace->step, name);
  }
  if (rank != expected) {
    snprintf(text, sizeof text, "has %d axes and should have %d (there is no batch axis)", rank, expected);
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, full, text);
  }
  if (element == 0) return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, full, "no such dtype");
  if (shape == NULL)
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, full, "a shape is asked for");
  for (axis = 0; axis < rank; ++axis) {
    const uint64_t most = (uint64_t)PTRDIFF_MAX / element / (elements == 0 ? 1 : elements);
    if (shape[axis] < 0 || (uint64_t)shape[axis] > most) {
      return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, full, "a size is negative or too large");
    }
    elements *= (uint64_t)shape[axis];
  }
  if (data == NULL && elements > 0) {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, full, "data is asked for");
  }
  if (2 * trace->names_used >= trace->names_room && !plumbline_trace_grow_names_(trace)) {
    return plumbline_trace_fail_memory_(trace);
  }
  slot = plumbline_trace_slot_(trace, full, strlen(full));
  if (trace->names[slot] != 0) {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_NAME, full, "was written before");
  }
  trace->names[slot] = trace->header_used + 2;
  ++trace->names_used;
  if (!plumbline_trace_append_entry_(trace, full, dtype, rank, shape, elements * element)) {
    return plumbline_trace_fail_memory_(trace);
  }
  if (elements > 0 && !plumbline_trace_write_(trace, element, rank, shape, strides, data)) {
    return plumbline_trace_fail_file_(trace, trace->path);
  }
  trace->data_size += elements * element;
  ++trace->tensors;
  if (trace->step >= 0 && !initial && trace->sequences[2 * trace->current + 1] == trace->step) {
    ++trace->sequences[2 * trace->current + 1];
  }
  return PLUMBLINE_TRACE_OK;
}

// Writes the header, and gives the file its name in place of any other; not before is there a file. The
// writer can be opened again.
static inline plumbline_trace_status plumbline_trace_close(plumbline_trace* trace) {
  uint64_t start = PLUMBLINE_TRACE_RESERVED, length;
  FILE* file;
  if (plumbline_trace_ready_(trace, "close") != PLUMBLINE_TRACE_OK) return trace->status;
  if (trace->tensors == 0)
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, trace->path, "has no tensor");
  if (!plumbline_trace_append_(trace, "}")) return plumbline_trace_fail_memory_(trace);
  if (trace->header_used > PLUMBLINE_TRACE_LARGEST_HEADER) {
    return plumbline_trace_fail_(trace, PLUMBLINE_TRACE_BAD_CALL, trace->path,
                                 "has too many tensors for one file");
  }
  errno = 0;
  if (trace->header_used + 8 > start) {
    start = (trace->header_used + 8 + 7) / 8 * 8;
    if (plumbline_trace_move_(trace, PLUMBLINE_TRACE_RESERVED, start) != PLUMBLINE_TRACE_OK)
      return trace->status;
  }
  length = start - 8;
  if (fseek(trace->file, 0, SEEK_SET) != 0 || fwrite(&length, 1, 8, trace->file) != 8 ||
      fwrite(trace->header, 1, trace->header_used, trace->file) != trace->header_used ||
      !plumbline_trace_pad_(trace, length - trace->header_used)) {
    return plumbline_trace_fail_file_(trace, trace->path);
  }
  file = trace->file;
  trace->file = NULL;
  if (fclose(file) != 0 || rename(trace->temporary, trace->path) != 0) {
    return plumbline_trace_fail_file_(trace, trace->path);
  }
  free(trace->temporary);
  trace->temporary = NULL;
  plumbline_trace_release_(trace);
  return PLUMBLINE_TRACE_OK;
}

// Instead of close(): no file. Does nothing to a trace that is closed.
static inline void plumbline_trace_discard(plumbline_trace* trace) {
  plumbline_trace_release_(trace);
}

#endif  // PLUMBLINE_TRACE_H
