/* SPDX-License-Identifier: MIT */
/* How `ringfence list` shows domains. */
#ifndef RF_TOOLSTACK_LIST_H
#define RF_TOOLSTACK_LIST_H

enum list_format { LIST_SHORT, LIST_LONG, LIST_JSON };

/* The hypervisor's answers to domain-list, block-list and shm-list; the last two may tell of others. */
void list_print(
	const char *domains, const char *disks, const char *areas, enum list_format format);

#endif
