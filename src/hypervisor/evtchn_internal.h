/* SPDX-License-Identifier: MIT */
/* What event channels consist of: for evtchn.c, and for tests that count. Main thread only. */
#ifndef RF_HYPERVISOR_EVTCHN_INTERNAL_H
#define RF_HYPERVISOR_EVTCHN_INTERNAL_H

#include "hypervisor/domain.h"

/*
 * What two bound ports share. Side s waits for fd[s]. Eventfds: it does so through an epoll set and
 * never holds fd[s] itself, since whoever holds an eventfd can make writes to it block, those of
 * others included (docs/design/event-channels.md). Only the other side's owner and we hold it; and
 * because that owner might make *us* block, we notify through wake_fd[s], which nobody else has.
 *
 * Who made the channel pays for its descriptors as long as it lives, even if only the other side's
 * port is left: so a back end can have as many as it has guests.
 */
struct channel {
	struct port *ports[2]; /* by side; NULL: none, or none any more */
	int fd[2];
	int wake_fd[2];	      /* eventfds only; else -1 */
	struct domain *payer; /* NULL: nobody, then there is no descriptor */
	struct list payer_link;
	unsigned int nr_paid;
};

struct port {
	struct list conn_link;
	struct domain *dom;
	uint32_t number;
	struct channel *channel;
	unsigned int side;
	unsigned int remote_domid;  /* who may bind it while it is unbound */
	uint64_t remote_serial;	    /* which domain of that id; 0: any */
	unsigned int nr_holds;	    /* unmap notifications that still need it */
	bool closed;		    /* by its handle; it lives on for its holds only */
};

#endif
