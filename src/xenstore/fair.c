/* SPDX-License-Identifier: MIT */
/* The queue of retriers; see fair.h. One entry per domain, so many connections win nothing. */
#include "xenstore/fair.h"

#include "xenstore/txn.h"

static void leave(struct domain *dom)
{
	dom->fair_conn = NULL;
	list_del(&dom->fair_link);
}

static void spend(struct domain *dom)
{
	if (--dom->fair_credits == 0)
		leave(dom);
}

/* Would applying `change` invalidate what `other` depends on? */
static bool disturbs(const struct tnode *change, const struct txn *other)
{
	const struct tnode *theirs, *parent;
	char path[PATH_BYTES];

	if (change->cut) {
		tnode_path(change->parent, path);
		parent = tnode_find(other, path);
		if (parent && parent->listed)
			return true;
	}
	tnode_path(change, path);
	theirs = tnode_find(other, path);
	if (!theirs)
		return false;
	/* Below a removed node something of theirs is accessed, or it would not be there. */
	if (change->cut)
		return true;
	return (change->write_value && (theirs->acc & ACC_VALUE)) ||
	       (change->write_perms && (theirs->acc & ACC_META));
}

static bool txn_disturbs(const struct txn *txn, const struct txn *other)
{
	const struct tnode *change;

	list_for_each(change, &txn->dirty, in_dirty)
		if (disturbs(change, other))
			return true;
	return false;
}

bool fair_refuses(struct txn *txn)
{
	struct store *store = txn->conn->store;
	struct domain *dom, *tmp;
	struct txn *other;

	if (list_empty(&txn->dirty))
		return false;
	list_for_each_safe(dom, tmp, &store->losers, fair_link) {
		if (dom->fair_conn == txn->conn)
			return false;
		if (list_empty(&dom->fair_conn->txns)) {
			/* It may have given up: it does not keep its place for ever. */
			spend(dom);
			continue;
		}
		list_for_each(other, &dom->fair_conn->txns, in_conn) {
			if (txn_disturbs(txn, other)) {
				spend(dom);
				return true;
			}
		}
		return false;
	}
	return false;
}

void fair_lost(struct store_conn *conn)
{
	struct domain *dom = conn->dom;

	if (++conn->losses < FAIR_LOSSES || dom->fair_conn)
		return;
	dom->fair_conn = conn;
	dom->fair_credits = FAIR_CREDITS;
	list_add_tail(&conn->store->losers, &dom->fair_link);
}

void fair_done(struct store_conn *conn)
{
	conn->losses = 0;
	if (conn->dom->fair_conn == conn)
		leave(conn->dom);
}

void fair_forget_domain(struct domain *dom)
{
	if (dom->fair_conn)
		leave(dom);
}
