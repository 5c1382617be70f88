/* Learns on the board to tell two kinds of pictures apart, first one kind and then the other, with
 * a replay memory against forgetting; prints every loss and how many new pictures it then knows.
 * The pictures stand for those of a camera: bars that lie or stand, in noise. */
#include <stdint.h>

#include "board.h"
#include "model.h"

enum { SIDE = MODEL_INPUT_WIDTH, EACH = 12, NEW = 20 };

static uint32_t replay[MODEL_REPLAY_BYTES / 4];

static void put_text(const char* text) {
  while (*text) board_put(*text++);
}

static void put_number(uint32_t number) {
  if (number > 9) put_number(number / 10);
  board_put((char)('0' + number % 10));
}

static uint32_t draw(void) {
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return state >> 16;
}

/* Rows of a picture, one after the other, as a camera delivers them. */
static void take_picture(int32_t standing) {
  uint8_t row[SIDE];
  const int32_t from = 4 + (int32_t)(draw() & 7u), to = from + 10;
  int32_t x, y;
  for (y = 0; y < SIDE; ++y) {
    for (x = 0; x < SIDE; ++x) {
      const int32_t at = standing ? x : y;
      row[x] = (uint8_t)((at >= from && at < to ? 180u : 0u) + draw() % 40u);
    }
    model_grey_row(y, row);
  }
}

/* A loss in thousandths. */
static void put_loss(const char* what, float loss) {
  put_text(what);
  put_number((uint32_t)(loss * 1000.0f + 0.5f));
  put_text("/1000\r\n");
}

int main(void) {
  int32_t standing, i, known = 0;
  board_start();
  model_reset();
  model_replay_reset(replay, 1);
  for (standing = 0; standing < 2; ++standing) {
    for (i = 0; i < EACH; ++i) {
      take_picture(standing);
      put_loss(standing ? "standing " : "lying    ",
               model_train_step_kept(replay, model_input(), standing));
      put_loss("replayed ", model_train_replay(replay));
    }
  }
  for (i = 0; i < NEW; ++i) {
    take_picture(i & 1);
    if (model_forward(model_input()) == (i & 1)) ++known;
  }
  put_number((uint32_t)known);
  put_text(" of ");
  put_number(NEW);
  put_text(" new pictures known\r\n");
  board_stop();
  return 0;
}
