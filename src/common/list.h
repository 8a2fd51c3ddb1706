/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked lists. No locking; the owner of the head serialises access.
 */
#ifndef RF_COMMON_LIST_H
#define RF_COMMON_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert(struct list *prev, struct list *entry)
{
	entry->prev = prev;
	entry->next = prev->next;
	prev->next->prev = entry;
	prev->next = entry;
}

static inline void list_add_tail(struct list *head, struct list *entry)
{
	list_insert(head->prev, entry);
}

/* Removes the entry and leaves it empty, so that removing it again is harmless. */
static inline void list_del(struct list *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
	list_init(entry);
}

#define list_first(head, type, member) container_of((head)->next, type, member)

#define list_for_each(it, head, member)                                                            \
	for (it = container_of((head)->next, __typeof__(*it), member); &it->member != (head);      \
		it = container_of(it->member.next, __typeof__(*it), member))

/* Safe against removal of `it` itself. */
#define list_for_each_safe(it, tmp, head, member)                                                  \
	for (it = container_of((head)->next, __typeof__(*it), member),                             \
	    tmp = container_of(it->member.next, __typeof__(*it), member);                          \
		&it->member != (head);                                                             \
		it = tmp, tmp = container_of(tmp->member.next, __typeof__(*it), member))

#endif
