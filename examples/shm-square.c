/* SPDX-License-Identifier: MIT */
/*
 * A domain without any Ringfence or Xen code: squares what another one puts into a page that both have
 * at an address of their own. shm-square.cfg says where this one has it; see shm-ask.c.
 */
#include <stdint.h>
#include <unistd.h>

#define PAGE 0x50000000

/* The asker writes `value`, then `asked`; we write `result`, then `answered`. */
#define ASKED (*(volatile uint32_t *)(PAGE + 0))
#define VALUE (*(volatile uint32_t *)(PAGE + 4))
#define ANSWERED (*(volatile uint32_t *)(PAGE + 8))
#define RESULT (*(volatile uint32_t *)(PAGE + 12))

int main(void)
{
	uint32_t asked, value;

	for (;;) {
		/* Each word that the other one can change is read once. */
		asked = ASKED;
		if (asked == ANSWERED) {
			usleep(1000);
			continue;
		}
		__sync_synchronize();
		value = VALUE;
		RESULT = value * value;
		__sync_synchronize();
		ANSWERED = asked;
	}
}
