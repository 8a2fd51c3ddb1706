/* SPDX-License-Identifier: MIT */
/*
 * Who sleeps, who wakes, by a status word in shared memory: the policy iddr (common/ring_status.h),
 * one direction. Here: queue_push, queue_arm and queue_disarm of src/blkback/queue.c, blk_push,
 * arm_event and blk_disarm of src/blkfront/ring.c. notify.pml has the same with event indices, and
 * says how memory is modelled.
 *
 * Claim: in the end the consumer has taken everything; it does not sleep for ever on a message.
 * Broken variants that spin must find:
 *	-DNO_PRODUCER_FENCE	the producer looks at the word before its index is visible
 *	-DNO_CONSUMER_FENCE	the consumer looks once more before its word is visible
 *	-DNO_RECHECK		the consumer does not look once more
 *	-DSLEEPING_LATE		the consumer says that it sleeps only after it has looked once more
 *	-DOTHER_RUNS		another thread of the consumer's side, which polls and takes nothing,
 *				says that it runs while the consumer sleeps
 */

#define NR 3		/* messages */
#define BUFFER 3

#define SLEEPING 0
#define RUNNING 1

byte prod = 0;		/* memory: the producer index */
byte status = RUNNING;	/* memory: the consumer's word */
bool pending = false;	/* the event channel */

/* Store buffers; each processor writes one variable only. */
byte prod_buf[BUFFER];
byte prod_len = 0;
byte status_buf[BUFFER];
byte status_len = 0;

byte taken = 0;

/* Memory takes the oldest entry of a buffer, whenever it likes. */
active proctype memory()
{
end:	do
	:: atomic { prod_len > 0 ->
		prod = prod_buf[0];
		prod_buf[0] = prod_buf[1]; prod_buf[1] = prod_buf[2]; prod_buf[2] = 0;
		prod_len-- }
	:: atomic { status_len > 0 ->
		status = status_buf[0];
		status_buf[0] = status_buf[1]; status_buf[1] = status_buf[2]; status_buf[2] = 0;
		status_len-- }
	od
}

inline set_status(value)
{
	atomic { status_len < BUFFER -> status_buf[status_len] = value; status_len++ }
}

/* Pushes messages in batches of any size. */
active proctype producer()
{
	byte new = 0, seen;

	do
	:: new < NR ->
		new++;
		do
		:: new < NR -> new++
		:: break
		od;
		atomic { prod_len < BUFFER -> prod_buf[prod_len] = new; prod_len++ };
#ifndef NO_PRODUCER_FENCE
		prod_len == 0;	/* xen_mb() */
#endif
		seen = status;
		if
		:: seen != RUNNING ->
			prod_len == 0;
			pending = true
		:: else
		fi
	:: else -> break
	od
}

/* Takes what there is; says that it sleeps, looks again, sleeps; says that it runs. */
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
#ifndef SLEEPING_LATE
			set_status(SLEEPING);
#endif
#ifndef NO_CONSUMER_FENCE
			status_len == 0;	/* xen_mb() */
#endif
#ifndef NO_RECHECK
			seen = prod;
#endif
#ifdef SLEEPING_LATE
			set_status(SLEEPING);
#endif
			if
			:: seen > taken
			:: else ->
				/* sleep: until the channel is pending, which it clears */
				atomic { pending -> pending = false }
			fi;
			set_status(RUNNING)
		fi
	od;
	assert(taken == NR)
}

#ifdef OTHER_RUNS
active proctype other()
{
	/* Its own processor's store, at any time. */
	status = RUNNING
}
#endif
