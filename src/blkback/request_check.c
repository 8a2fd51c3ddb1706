/* SPDX-License-Identifier: MIT */
/*
 * What a guest may ask for. Only private copies are looked at: what they claim is checked against
 * the ring's, the segment's and the disk's bounds before anything is mapped or read.
 */
#include "blkback/request.h"

bool request_in_bounds(const struct request *req)
{
	const struct image *image = req->queue->config.image;
	uint64_t nr = image_size(image) / SECTOR_SIZE;
	uint64_t unit = image->disk->geometry.sector_size / SECTOR_SIZE;

	return req->nr_sectors > 0 && req->sector <= nr && req->nr_sectors <= nr - req->sector &&
		((req->sector | req->nr_sectors) & (unit - 1)) == 0;
}

const char *request_check_segments(struct request *req)
{
	uint32_t unit = req->queue->config.image->disk->geometry.sector_size / SECTOR_SIZE;

	for (unsigned int i = 0; i < req->nr_segments; i++) {
		const struct blkif_request_segment *seg = &req->desc[i];

		if (seg->last_sect >= SECTORS_PER_PAGE || seg->first_sect > seg->last_sect)
			return "bad segment";
		if ((seg->first_sect | (seg->last_sect + 1u)) & (unit - 1))
			return "segment is not aligned to the logical sector";
		req->nr_sectors += seg->last_sect - seg->first_sect + 1u;
	}
	return request_in_bounds(req) ? NULL : "beyond the end of the disk, or unaligned";
}
