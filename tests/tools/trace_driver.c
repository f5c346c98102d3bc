// tools/plumbline_trace.h by commands on stdin, one a line; answers each with the status and the problem.
// C and C++.
//
//   open PATH [KEY VALUE]...       begin SEQUENCE STEP       close       discard
//   tensor NAME DTYPE SHAPE STRIDES OFFSET FILE        as in: tensor lm_head 1 2x3 -1x2 8 raw.bin
//
// STRIDES is - for none; OFFSET counts bytes; FILE is - for no data.
#include "plumbline_trace.h"

static int numbers(char* text, int64_t* out) {
  int count = 0;
  char* word = text;
  while (count < 8) {
    char* end;
    out[count++] = strtoll(word, &end, 10);
    if (*end != 'x') break;
    word = end + 1;
  }
  return count;
}

// Of exactly the file's size, so that a sanitizer sees what is read beyond it.
static char* contents(const char* path) {
  FILE* file = fopen(path, "rb");
  char* data;
  long size;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) exit(3);
  size = ftell(file);
  rewind(file);
  data = (char*)malloc(size > 0 ? (size_t)size : 1);
  if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) exit(3);
  fclose(file);
  return data;
}

static void tensor(plumbline_trace* trace, char** words) {
  int64_t shape[8], strides[8];
  const int rank = numbers(words[3], shape);
  const int has_strides = strcmp(words[4], "-") != 0;
  char* data = strcmp(words[6], "-") == 0 ? NULL : contents(words[6]);
  if (has_strides) numbers(words[4], strides);
  plumbline_trace_tensor(trace, words[1], (plumbline_trace_dtype)atoi(words[2]), rank, shape,
                         has_strides ? strides : NULL, data == NULL ? NULL : data + atol(words[5]));
  free(data);
}

int main(void) {
  static char line[65536];
  static plumbline_trace trace;
  while (fgets(line, sizeof line, stdin) != NULL) {
    char* words[64] = {NULL};
    int count = 0;
    char* word = strtok(line, " \n");
    for (; word != NULL && count < 63; word = strtok(NULL, " \n")) words[count++] = word;
    if (count == 0) continue;
    if (strcmp(words[0], "open") == 0) {
      plumbline_trace_open(&trace, words[1] == NULL ? "" : words[1],
                           (const char* const*)(words + (count < 2 ? 1 : 2)));
    } else if (strcmp(words[0], "begin") == 0) {
      plumbline_trace_begin_step(&trace, atoi(words[1]), atoi(words[2]));
    } else if (strcmp(words[0], "tensor") == 0) {
      tensor(&trace, words);
    } else if (strcmp(words[0], "close") == 0) {
      plumbline_trace_close(&trace);
    } else if (strcmp(words[0], "discard") == 0) {
      plumbline_trace_discard(&trace);
    } else {
      return 3;
    }
    printf("%d %s\n", (int)trace.status, trace.problem);
  }
  plumbline_trace_discard(&trace);
  return 0;
}
