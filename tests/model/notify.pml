/* SPDX-License-Identifier: MIT */
/*
 * Who sleeps, who wakes: the notification protocol of a ring (xen/io/ring.h), one direction. The
 * same protocol runs twice on a blkif ring: requests (front end produces, back end consumes) and
 * responses. Here: queue_push and queue_arm of src/blkback/queue.c, blk_push and arm_event of
 * src/blkfront/ring.c.
 *
 * A store first enters a buffer of its own processor and reaches memory at any later moment, in
 * order, as on x86 (TSO); a load takes what memory has, or the own buffer. A full fence waits for
 * the own buffer to be empty. A notification is a system call and waits for it, too; going to
 * sleep is one as well, but comes after the decision to sleep was taken.
 *
 * Claim: in the end the consumer has taken everything; it does not sleep for ever on a message.
 * (A sleep that nobody ends is an invalid end state.) Broken variants that spin must find:
 *	-DNO_PRODUCER_FENCE	the producer looks at the event index before its index is visible
 *	-DNO_CONSUMER_FENCE	the consumer looks once more before its event index is visible
 *	-DNO_RECHECK		the consumer does not look once more
 *	-DSTALE_EVENT		the consumer asks for an event one message too far
 */

#define NR 3		/* messages */

byte prod = 0;		/* memory: the producer index */
byte event = 1;		/* memory: the event index: notify when prod reaches it */
bool pending = false;	/* the event channel */

/* Store buffers; each processor writes one variable only. */
byte prod_buf[NR];
byte prod_len = 0;
byte event_buf[NR];
byte event_len = 0;

byte taken = 0;

/* Memory takes the oldest entry of a buffer, whenever it likes. */
active proctype memory()
{
end:	do
	:: atomic { prod_len > 0 ->
		prod = prod_buf[0];
		prod_buf[0] = prod_buf[1]; prod_buf[1] = prod_buf[2]; prod_buf[2] = 0;
		prod_len-- }
	:: atomic { event_len > 0 ->
		event = event_buf[0];
		event_buf[0] = event_buf[1]; event_buf[1] = event_buf[2]; event_buf[2] = 0;
		event_len-- }
	od
}

/* Pushes messages in batches of any size. */
active proctype producer()
{
	byte old = 0, new, seen;

	do
	:: old < NR ->
		new = old + 1;
		do
		:: new < NR -> new++
		:: break
		od;
		atomic { prod_len < NR -> prod_buf[prod_len] = new; prod_len++ };
#ifndef NO_PRODUCER_FENCE
		prod_len == 0;	/* xen_mb() */
#endif
		seen = event;
		if
		/* new - event < new - old, unsigned: old < event <= new */
		:: old < seen && seen <= new ->
			prod_len == 0;
			pending = true
		:: else
		fi;
		old = new
	:: else -> break
	od
}

/* Takes what there is; arms, looks again, sleeps. */
active proctype consumer()
{
	byte seen;

	do
	:: taken == NR -> break
	:: else ->
		seen = prod;
		if
		:: seen > taken -> taken = seen
		:: else ->
#ifdef STALE_EVENT
			atomic { event_len < NR -> event_buf[event_len] = taken + 2; event_len++ };
#else
			atomic { event_len < NR -> event_buf[event_len] = taken + 1; event_len++ };
#endif
#ifndef NO_CONSUMER_FENCE
			event_len == 0;	/* xen_mb() */
#endif
#ifndef NO_RECHECK
			seen = prod;
#endif
			if
			:: seen > taken	/* poll on */
			:: else ->
				/* sleep: until the channel is pending, which it clears */
				atomic { pending -> pending = false }
			fi
		fi
	od;
	assert(taken == NR)
}
