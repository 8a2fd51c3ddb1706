/* SPDX-License-Identifier: MIT */
/* Buffered sequential reading; see tool_for_integrity_reader.h. The files are not trusted. */
#include "service/tool_for_integrity_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/common_program.h"

int reader_open(struct reader *r, const char *path)
{
	int rc;

	r->path = path;
	r->pos = r->len = 0;
	r->buf = malloc(READER_BUFFER_SIZE);
	if (!r->buf) {
		complain("out of memory");
		return -ENOMEM;
	}
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r->fd >= 0) {
		posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		return 0;
	}
	rc = -errno;
	complain("cannot open %s: %s", path, strerror(errno));
	free(r->buf);
	return rc;
}

void reader_close(struct reader *r)
{
	close(r->fd);
	free(r->buf);
}

/* Makes at least one byte available. 1, 0 at the end, or -errno with a message. */
static int reader_fill(struct reader *r)
{
	ssize_t n;

	if (r->pos < r->len)
		return 1;
	do {
		n = read(r->fd, r->buf, READER_BUFFER_SIZE);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		int rc = -errno;

		complain("cannot read %s: %s", r->path, strerror(errno));
		return rc;
	}
	r->pos = 0;
	r->len = (size_t)n;
	return n > 0;
}

int reader_line(struct reader *r, uint64_t *number)
{
	bool good = true;
	unsigned int nr_chars = 0;
	uint64_t value = 0;
	unsigned char c;
	int rc;

	while ((rc = reader_fill(r)) > 0) {
		c = r->buf[r->pos++];
		if (c == '\n') {
			*number = value;
			return good && nr_chars ? LINE_NUMBER : LINE_MALFORMED;
		}
		nr_chars = 1;
		good = good && c >= '0' && c <= '9' &&
		       !__builtin_mul_overflow(value, 10u, &value) &&
		       !__builtin_add_overflow(value, (uint64_t)(c - '0'), &value);
	}
	if (rc < 0)
		return rc;
	return nr_chars ? LINE_CUT : LINE_END;
}

ssize_t reader_bytes(struct reader *r, void *to, size_t len)
{
	size_t done = 0, n;
	int rc;

	while (done < len) {
		rc = reader_fill(r);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
		n = r->len - r->pos < len - done ? r->len - r->pos : len - done;
		memcpy((char *)to + done, r->buf + r->pos, n);
		r->pos += n;
		done += n;
	}
	return (ssize_t)done;
}
