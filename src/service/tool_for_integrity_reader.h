/* SPDX-License-Identifier: MIT */
/* Sequential reading of a file of any size in constant memory, for tool_for_integrity. */
#ifndef RF_SERVICE_TOOL_FOR_INTEGRITY_READER_H
#define RF_SERVICE_TOOL_FOR_INTEGRITY_READER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define READER_BUFFER_SIZE (256 * 1024)

struct reader {
	int fd;
	const char *path;
	unsigned char *buf;
	size_t pos, len; /* unread: buf[pos .. len) */
};

enum reader_line {
	LINE_END,	/* no line is left */
	LINE_NUMBER,	/* a decimal number and a newline */
	LINE_MALFORMED, /* anything else, up to and with its newline */
	LINE_CUT,	/* the last line has no newline, so digits may be missing */
};

/* Opens a regular file or pipe. Complains and returns -errno when it cannot. */
int reader_open(struct reader *r, const char *path) __attribute__((warn_unused_result));
void reader_close(struct reader *r);

/* Takes the next line; *number is set for LINE_NUMBER. Returns an enum reader_line or -errno. */
int reader_line(struct reader *r, uint64_t *number) __attribute__((warn_unused_result));

/* Reads up to len bytes, fewer only at the end of the file. Their number or -errno. */
ssize_t reader_bytes(struct reader *r, void *to, size_t len) __attribute__((warn_unused_result));

#endif
