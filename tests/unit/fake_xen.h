/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for libxengnttab, libxenevtchn and libxenstore inside one process: what the front end
 * calls is the real interface, and this is the other side's. Domain 1 is the front end, domain 0
 * the back end. Any call of the front end that can fail can be made to.
 */
#ifndef RF_TESTS_FAKE_XEN_H
#define RF_TESTS_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

/* Forgets everything. No handle may be open. */
void fake_reset(void);

/* The nth call (from 1) from now on fails with `err`, and if `sticky` all after it; 0: none. */
void fake_fail_at(unsigned int nth, int err, bool sticky);

/* Calls that could have failed since fake_fail_at. */
unsigned int fake_nr_calls(void);

/* What is in use right now. */
unsigned int fake_nr_grants(void);
unsigned int fake_nr_ports(void);
unsigned int fake_nr_handles(void); /* of the three libraries */

/* At most so many grants, ports at a time. */
void fake_set_grant_limit(unsigned int limit);
void fake_set_port_limit(unsigned int limit);

/* ---- the back end's grants and event channels ---- */

/* The page behind a reference, or NULL. It stays mapped until fake_reset, granted or not. */
void *fake_map(uint32_t ref);

/* Notifies the front end's port. */
void fake_notify(uint32_t port);

/* Waits for a notification of ours on any of the ports (16 at the most), at most timeout_ms. */
bool fake_wait_events(const uint32_t *ports, unsigned int nr, int timeout_ms);

/* The hypervisor dies, as far as event channels are concerned. */
void fake_kill_evtchn(void);

/* ---- the store ---- */

void fake_store_write(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fake_store_remove(const char *path);

/* Copies the value; false if there is none. */
bool fake_store_read(const char *path, char *value, unsigned int size);

/* -1 if there is none. */
long long fake_store_number(const char *path);

/* Waits until the store changes, at most timeout_ms. */
void fake_store_wait(int timeout_ms);

/* So many transactions conflict. */
void fake_store_conflict(unsigned int nr);

/* The connections are lost; new ones can be made again. */
void fake_kill_store(void);
void fake_revive_store(void);

#endif
