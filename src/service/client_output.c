/* SPDX-License-Identifier: MIT */
/* The two result files; see client_output.h. The file system may fail at any byte. */
#include "service/client_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/common_program.h"

static int file_open(struct output_file *file, const char *kind, pid_t pid)
{
	struct stat st;
	int rc;

	snprintf(file->name, sizeof(file->name), "%s.%ld", kind, (long)pid);
	file->size = 0;
	/* The name is predictable and the folder may be everybody's: follow no link. */
	file->fd = open(file->name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	if (file->fd < 0) {
		rc = -errno;
		complain("cannot create %s in the current folder: %s; run the client in a folder "
			 "that you can write to",
			file->name, strerror(errno));
		return rc;
	}
	if (fstat(file->fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(file->fd, 0) == 0)
		return 0;
	complain("cannot use %s in the current folder: it is not a file that can be emptied",
		file->name);
	close(file->fd);
	return -EINVAL;
}

static void file_discard(struct output_file *file)
{
	close(file->fd);
	unlink(file->name);
}

int output_open(struct output *out, pid_t pid)
{
	int rc = file_open(&out->sectors, "sectors", pid);

	if (rc)
		return rc;
	rc = file_open(&out->contents, "read", pid);
	if (rc) {
		file_discard(&out->sectors);
		return rc;
	}
	pthread_mutex_init(&out->lock, NULL);
	out->nr_records = 0;
	out->error = 0;
	return 0;
}

int output_close(struct output *out)
{
	int rc = 0;

	if (close(out->sectors.fd) < 0)
		rc = -errno;
	if (close(out->contents.fd) < 0)
		rc = -errno;
	pthread_mutex_destroy(&out->lock);
	return rc;
}

void output_discard(struct output *out)
{
	file_discard(&out->sectors);
	file_discard(&out->contents);
	pthread_mutex_destroy(&out->lock);
}

/* Writes all of it at the end of the file's complete part; *done says how much arrived. */
static int file_append(struct output_file *file, const void *buf, size_t len, size_t *done)
{
	ssize_t n;

	for (*done = 0; *done < len; *done += (size_t)n) {
		n = pwrite(file->fd, (const char *)buf + *done, len - *done,
			file->size + (off_t)*done);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -errno;
		else if (n == 0)
			return -ENOSPC;
	}
	return 0;
}

static void batch_format(const struct batch *batch)
{
	char digits[OUTPUT_LINE_MAX];
	char *to = batch->text;

	for (unsigned int i = 0; i < batch->nr; i++) {
		uint64_t v = batch->sectors[i];
		unsigned int n = 0;

		do {
			digits[n++] = (char)('0' + v % 10);
			v /= 10;
		} while (v);
		while (n)
			*to++ = digits[--n];
		*to++ = '\n';
	}
}

/* The first nr lines of the batch's text, in bytes. */
static size_t text_of_records(const struct batch *batch, unsigned int nr)
{
	const char *p = batch->text;

	while (nr--)
		p = (const char *)rawmemchr(p, '\n') + 1;
	return (size_t)(p - batch->text);
}

/* How many whole lines lie in the first len bytes of the batch's text. */
static unsigned int records_of_text(const struct batch *batch, size_t len)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < len; i++)
		nr += batch->text[i] == '\n';
	return nr;
}

/* Ends both files where they were complete last; out->lock is held. */
static void output_cut(struct output *out)
{
	if (ftruncate(out->sectors.fd, out->sectors.size) < 0 ||
		ftruncate(out->contents.fd, out->contents.size) < 0)
		complain("cannot cut %s and %s back to their last common record: %s",
			out->sectors.name, out->contents.name, strerror(errno));
}

/*
 * Both appends, as far as the file system takes them: if it took a part of the contents only, the
 * whole records among them still get their numbers. Returns how many records are in both files.
 */
static unsigned int output_write(struct output *out, const struct batch *batch, int *error)
{
	unsigned int whole;
	size_t done;
	int rc;

	*error = file_append(&out->contents, batch->contents,
		(size_t)batch->nr * OUTPUT_RECORD_SIZE, &done);
	whole = (unsigned int)(done / OUTPUT_RECORD_SIZE);
	rc = file_append(&out->sectors, batch->text, text_of_records(batch, whole), &done);
	if (rc == 0)
		return whole;
	if (*error == 0)
		*error = rc;
	return records_of_text(batch, done);
}

int output_append(struct output *out, struct batch *batch)
{
	unsigned int nr;
	int rc;

	batch_format(batch);
	pthread_mutex_lock(&out->lock);
	rc = out->error;
	if (rc == 0) {
		nr = output_write(out, batch, &rc);
		out->nr_records += nr;
		out->sectors.size += (off_t)text_of_records(batch, nr);
		out->contents.size += (off_t)nr * OUTPUT_RECORD_SIZE;
	}
	if (rc && !out->error) {
		out->error = rc;
		output_cut(out);
	}
	pthread_mutex_unlock(&out->lock);
	batch->nr = 0;
	return rc;
}

int batch_init(struct batch *batch, unsigned int capacity)
{
	batch->nr = 0;
	batch->capacity = capacity;
	batch->sectors = calloc(capacity, sizeof(*batch->sectors));
	batch->text = malloc((size_t)capacity * OUTPUT_LINE_MAX);
	batch->contents = aligned_alloc(OUTPUT_RECORD_SIZE, (size_t)capacity * OUTPUT_RECORD_SIZE);
	if (batch->sectors && batch->text && batch->contents)
		return 0;
	batch_fini(batch);
	return -ENOMEM;
}

void batch_fini(struct batch *batch)
{
	free(batch->sectors);
	free(batch->text);
	free(batch->contents);
	batch->sectors = NULL;
	batch->text = NULL;
	batch->contents = NULL;
}
