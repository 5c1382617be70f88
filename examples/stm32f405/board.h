/* What the example needs of a board. */
#ifndef BOARD_H
#define BOARD_H

void board_start(void); /* clocks and the serial port */
void board_put(char c); /* one character to the serial port */
void board_stop(void);  /* nothing is left to do */

#endif
