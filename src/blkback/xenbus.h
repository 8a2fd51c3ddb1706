/* SPDX-License-Identifier: MIT */
/* Reading and writing of device nodes in xenstore. Main thread only. */
#ifndef RF_BLKBACK_XENBUS_H
#define RF_BLKBACK_XENBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenstore.h>
#include <xen/io/xenbus.h>

#define XENBUS_PATH_MAX 256

/* The value of dir/node as text, to be freed; NULL with errno. */
char *xenbus_read(struct xs_handle *xs, const char *dir, const char *node);

/* The same as a number, which must be one and be in min..max. 0, -ENOENT, -EINVAL, or -errno. */
int xenbus_read_u64(struct xs_handle *xs, const char *dir, const char *node, uint64_t min,
	uint64_t max, uint64_t *out) __attribute__((warn_unused_result));

/*
 * The XenbusState in dir/state; XenbusStateUnknown if there is none, or none that xen/io/xenbus.h
 * knows.
 */
enum xenbus_state xenbus_read_state(struct xs_handle *xs, xs_transaction_t t, const char *dir);

/* False if the toolstack has written 0 into dir/online: the device is not to be used again. */
bool xenbus_is_online(struct xs_handle *xs, xs_transaction_t t, const char *dir);

/* Writes dir/node. 0 or -errno. */
int xenbus_printf(struct xs_handle *xs, xs_transaction_t t, const char *dir, const char *node,
	const char *fmt, ...) __attribute__((format(printf, 5, 6), warn_unused_result));

/*
 * Carries out `write` in a transaction, as often as it conflicts, if the device directory is still
 * there (has its state): writing below one that the toolstack removed would make it again, and
 * nobody would ever remove that. 0, -ENOENT, what `write` returned, or -errno.
 */
int xenbus_update(struct xs_handle *xs, const char *dir,
	int (*write)(void *data, xs_transaction_t t), void *data)
	__attribute__((warn_unused_result));

/* Writes dir/state, or dir/error for people to read, by xenbus_update. */
int xenbus_write_state(struct xs_handle *xs, const char *dir, enum xenbus_state state)
	__attribute__((warn_unused_result));
int xenbus_write_error(struct xs_handle *xs, const char *dir, const char *text)
	__attribute__((warn_unused_result));

/*
 * Removes a device directory of ours if its state is Closed and the toolstack gave it up (online is
 * 0), in one transaction. 0, -ECANCELED if that is not so, -ENOENT, or -errno.
 */
int xenbus_remove_closed(struct xs_handle *xs, const char *dir)
	__attribute__((warn_unused_result));

#endif
