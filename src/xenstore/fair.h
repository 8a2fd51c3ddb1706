/* SPDX-License-Identifier: MIT */
/*
 * Who gives way when transactions keep colliding. A connection whose commits failed twice in a row
 * queues up; the transactions of the first in the queue are not invalidated by other transactions'
 * commits, which get EAGAIN instead, up to FAIR_CREDITS times. So every retrier gets its turn, and
 * nobody can hold up the others for long by keeping a transaction open.
 */
#ifndef RF_XENSTORE_FAIR_H
#define RF_XENSTORE_FAIR_H

#include "xenstore/internal.h"

#define FAIR_LOSSES 2
#define FAIR_CREDITS 8

/* True if this commit must give way. */
bool fair_refuses(struct txn *txn);
/* The connection's commit failed with EAGAIN. */
void fair_lost(struct store_conn *conn);
/* It succeeded, or the client gave up. */
void fair_done(struct store_conn *conn);
void fair_forget_domain(struct domain *dom);

#endif
