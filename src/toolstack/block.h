/* SPDX-License-Identifier: MIT */
/* Attached devices, as the hypervisor's block-list tells them (docs/protocol/control.md). */
#ifndef RF_TOOLSTACK_BLOCK_H
#define RF_TOOLSTACK_BLOCK_H

#include <stdbool.h>

#include "toolstack/lines.h"

#define BLOCK_TARGET_SIZE 1025

/* Numbers that a back end or front end has not written are -1. */
struct block_line {
	unsigned int domid, device, backend_domid;
	char backend[DOMAIN_NAME_SIZE], mode;
	bool closing; /* it is being detached */
	long long state, frontend_state; /* enum xenbus_state */
	long long sectors, sector_size, ring_ref, event_channel;
	char target[BLOCK_TARGET_SIZE];
};

/* The next device in the text at *at, which moves behind it. False: there are no more. */
bool block_next(const char **at, struct block_line *disk);

/* As a JSON object, without a line's end. */
void block_print_json(const struct block_line *disk);

/* "connected", of a XenbusState; "-" for -1. */
const char *block_state_name(long long state);

#endif
