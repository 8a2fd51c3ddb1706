/* SPDX-License-Identifier: MIT */
/* Pools of a worker. */
#include "blkback/buffers.h"

#define DIRECT_ALIGN GRANT_PAGE_SIZE

/* Requests at a time in a worker; more of them stay in their rings. */
#define MAX_FEW 2048u
#define MAX_MANY 128u

static const struct {
	size_t size_bytes;
	unsigned int max, keep;
} data_classes[BUFFER_SIZES] = {
	{BUFFER_MIN, 512, 512},
	{16 * GRANT_PAGE_SIZE, 128, 32}, /* what a request without indirect segments can have */
	{SEGMENTS_MAX * GRANT_PAGE_SIZE, 16, 4},
};

_Static_assert(SEGMENTS_FEW <= 16, "a direct request fits into the second class");
_Static_assert(sizeof(struct segments_few) % _Alignof(struct segments_few) == 0, "for pool_init");

void buffers_init(struct buffers *buffers)
{
	pool_init(&buffers->segments_few, sizeof(struct segments_few),
		_Alignof(struct segments_few), MAX_FEW, MAX_FEW);
	pool_init(&buffers->segments_many, sizeof(struct segments_many),
		_Alignof(struct segments_many), MAX_MANY, MAX_MANY);
	for (unsigned int i = 0; i < BUFFER_SIZES; i++)
		pool_init(&buffers->data[i], data_classes[i].size_bytes, DIRECT_ALIGN,
			data_classes[i].max, data_classes[i].keep);
}

void buffers_fini(struct buffers *buffers)
{
	pool_fini(&buffers->segments_few);
	pool_fini(&buffers->segments_many);
	for (unsigned int i = 0; i < BUFFER_SIZES; i++)
		pool_fini(&buffers->data[i]);
}

int buffers_get_many(struct buffers *buffers, struct segments **out)
{
	struct segments_many *many;
	void *piece;
	int rc = pool_get(&buffers->segments_many, &piece);

	if (rc)
		return rc;
	many = piece;
	many->head = (struct segments){true, many->refs, many->iov};
	*out = &many->head;
	return 0;
}

int buffers_get_data(struct buffers *buffers, size_t len, uint8_t *size_class, void **out)
{
	uint8_t i = 0;

	while (data_classes[i].size_bytes < len)
		i++;
	*size_class = i;
	return pool_get(&buffers->data[i], out);
}

void buffers_put_data(struct buffers *buffers, uint8_t size_class, void *data)
{
	pool_put(&buffers->data[size_class], data);
}
