/* SPDX-License-Identifier: MIT */
/* The keys of a configuration: which there are in a text, and which there may be. */
#ifndef RF_TOOLSTACK_CONFIG_KEYS_H
#define RF_TOOLSTACK_CONFIG_KEYS_H

#include "toolstack/config_text.h"

/*
 * Finds the keys of a text that libxlutil has accepted. *keys is to be freed. 0 or -ENOMEM.
 */
int config_keys_find(const char *text, struct config_key **keys, unsigned int *nr_keys)
	__attribute__((warn_unused_result));

/* Complains about each key that is none of ours, with the nearest that is. 0 or -1. */
int config_keys_check(const struct config_text *ct) __attribute__((warn_unused_result));

/* How many letters must be inserted, removed, changed or swapped to make one word the other. */
unsigned int config_keys_distance(const char *a, const char *b);

#endif
