/* SPDX-License-Identifier: MIT */
/* A request's way through the back end: check, map, cache or driver, answer. Worker's thread. */
#ifndef RF_BLKBACK_REQUEST_H
#define RF_BLKBACK_REQUEST_H

#include "blkback/queue.h"

/*
 * Checks the private copy and starts what it asks for; a bad one is answered with an error at once.
 * Returns its cost in units of 4 KiB.
 */
unsigned int request_start(struct request *req, const blkif_request_t *copy);

/* Offers a waiting request to the driver again. False if it is still busy. */
bool request_retry(struct request *req);

/* queue.c: puts a request at the end of the queue's waiting ones. */
void queue_wait(struct queue *queue, struct request *req);

/* queue.c: writes the answer and frees the request. Published by queue_push. */
void queue_answer(struct queue *queue, struct request *req, int16_t status);

#endif
