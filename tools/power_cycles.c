/* Trains an emitted program on samples of IDX files with a loss of power every so many steps: what
 * was learned is saved, all of the state overwritten, and loaded again. For power_table.sh.
 *   power_cycles EVERY IMAGES PASSES TRAIN-IMAGES TRAIN-LABELS TEST-IMAGES TEST-LABELS CLASS...
 * EVERY is 0 for none. Prints the test accuracy in per cent and a hash of all that persists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

typedef struct {
  unsigned char *pixels, *labels;
  long count;
} samples;

static void fail(const char* what) {
  fprintf(stderr, "power_cycles: %s\n", what);
  exit(1);
}

static unsigned char* contents(const char* path, long header, long* bytes) {
  FILE* file = fopen(path, "rb");
  unsigned char* data;
  if (file == NULL) fail(path);
  fseek(file, 0, SEEK_END);
  *bytes = ftell(file) - header;
  fseek(file, header, SEEK_SET);
  if (*bytes <= 0 || (data = malloc((size_t)*bytes)) == NULL) fail(path);
  if (fread(data, 1, (size_t)*bytes, file) != (size_t)*bytes) fail(path);
  fclose(file);
  return data;
}

/* Those of the classes given, with their places among these as labels; `most` at most. */
static samples read_samples(const char* images, const char* labels, char** classes, long most) {
  const long pixels = MODEL_INPUT_HEIGHT * MODEL_INPUT_WIDTH;
  samples s;
  long bytes, i, all, kept = 0;
  int k;
  s.pixels = contents(images, 16, &bytes);
  s.labels = contents(labels, 8, &all);
  if (bytes != all * pixels) fail("images and labels do not go together");
  for (i = 0; i < all && kept < most; ++i) {
    for (k = 0; k < MODEL_CLASSES && atoi(classes[k]) != s.labels[i]; ++k) {
    }
    if (k == MODEL_CLASSES) continue;
    memmove(s.pixels + kept * pixels, s.pixels + i * pixels, (size_t)pixels);
    s.labels[kept++] = (unsigned char)k;
  }
  s.count = kept;
  return s;
}

static void place(const samples* s, long i) {
  int32_t row;
  for (row = 0; row < MODEL_INPUT_HEIGHT; ++row) {
    model_grey_row(row, s->pixels + (i * MODEL_INPUT_HEIGHT + row) * MODEL_INPUT_WIDTH);
  }
}

int main(int argc, char** argv) {
  static unsigned char saved[MODEL_SAVED_BYTES];
  samples training, test;
  long every, passes, pass, i, step = 0, right = 0;
  uint32_t hash = 2166136261u;
  if (argc != 8 + MODEL_CLASSES) fail("wrong number of arguments");
  every = atol(argv[1]);
  passes = atol(argv[3]);
  training = read_samples(argv[4], argv[5], argv + 8, atol(argv[2]));
  test = read_samples(argv[6], argv[7], argv + 8, 1000000);
  model_reset();
  for (pass = 0; pass < passes; ++pass) {
    for (i = 0; i < training.count; ++i) {
      place(&training, i);
      if (model_train_step(model_input(), training.labels[i]) < 0) fail("a step was refused");
      if (every == 0 || ++step % every != 0) continue;
      model_save(saved);
      memset(model_state(), 0xA5, MODEL_STATE_BYTES);
      if (model_load(saved) != 0) fail("what was saved is not loaded");
    }
  }
  model_save(saved);
  for (i = 0; i < MODEL_SAVED_BYTES; ++i) hash = (hash ^ saved[i]) * 16777619u;
  for (i = 0; i < test.count; ++i) {
    place(&test, i);
    right += model_forward(model_input()) == test.labels[i];
  }
  printf("%.2f %08lx\n", 100.0 * (double)right / (double)test.count, (unsigned long)hash);
  return 0;
}
