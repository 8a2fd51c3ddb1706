/* SPDX-License-Identifier: MIT */
/*
 * The other side of shm-square.c: has the same page at another address (shm-ask.cfg), asks for some
 * squares, and prints them.
 */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE 0x60000000

#define ASKED (*(volatile uint32_t *)(PAGE + 0))
#define VALUE (*(volatile uint32_t *)(PAGE + 4))
#define ANSWERED (*(volatile uint32_t *)(PAGE + 8))
#define RESULT (*(volatile uint32_t *)(PAGE + 12))

static uint32_t square(uint32_t value)
{
	uint32_t number = ANSWERED + 1;

	VALUE = value;
	__sync_synchronize();
	ASKED = number;
	while (ANSWERED != number)
		usleep(1000);
	__sync_synchronize();
	return RESULT;
}

int main(void)
{
	for (uint32_t value = 1; value <= 5; value++)
		printf("%u squared is %u\n", value, square(value));
	return 0;
}
