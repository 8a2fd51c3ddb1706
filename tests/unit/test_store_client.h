/* SPDX-License-Identifier: MIT */
/*
 * A client of the store for tests: asks over the wire and collects replies and events as text.
 * In payloads and replies '|' stands for NUL; an error reply reads "!ENOENT".
 */
#ifndef RF_TEST_STORE_CLIENT_H
#define RF_TEST_STORE_CLIENT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#include "xenstore/store.h"

#define CLIENT_EVENTS_BYTES 65536

struct client {
	struct store_conn *conn;
	struct xsd_sockmsg hdr;
	char reply[XENSTORE_PAYLOAD_MAX + 2]; /* the last one */
	char events[CLIENT_EVENTS_BYTES];     /* "path token;" each, since the last client_events */
	unsigned int nr_events;
	unsigned int nr_wakes;
	uint32_t req_id;
};

static inline void client_want_write(void *data)
{
	struct client *client = data;

	client->nr_wakes++;
}

static const struct store_ops client_ops = {.want_write = client_want_write};

static inline void client_open(struct client *client, struct store *store, unsigned int domid)
{
	memset(client, 0, sizeof(*client));
	if (store_conn_open(store, domid, client, &client->conn))
		abort();
}

static inline void client_close(struct client *client)
{
	store_conn_close(client->conn);
	client->conn = NULL;
}

static inline void client_note_event(struct client *client, const char *payload)
{
	size_t used = strlen(client->events);
	const char *token = payload + strlen(payload) + 1;

	client->nr_events++;
	if (used + strlen(payload) + strlen(token) + 3 < sizeof(client->events))
		sprintf(client->events + used, "%s %s;", payload, token);
}

/* Takes one message: its type, or -1 if there is none. Events are noted. */
static inline int client_recv(struct client *client)
{
	char message[sizeof(client->hdr) + XENSTORE_PAYLOAD_MAX];
	const void *bytes;
	size_t have = 0, want = sizeof(client->hdr), len;

	while (have < want) {
		len = store_conn_output(client->conn, &bytes);
		if (len == 0 && have == 0)
			return -1;
		if (len == 0)
			abort();
		if (len > want - have)
			len = want - have;
		memcpy(message + have, bytes, len);
		store_conn_consume(client->conn, len);
		have += len;
		if (have == sizeof(client->hdr)) {
			memcpy(&client->hdr, message, sizeof(client->hdr));
			if (client->hdr.len > XENSTORE_PAYLOAD_MAX)
				abort();
			want += client->hdr.len;
		}
	}
	memcpy(client->reply, message + sizeof(client->hdr), client->hdr.len);
	client->reply[client->hdr.len] = '\0';
	if (client->hdr.type == XS_WATCH_EVENT)
		client_note_event(client, client->reply);
	return (int)client->hdr.type;
}

/* Sends a request without waiting. Returns the bytes taken. */
static inline long client_send_bytes(
	struct client *client, uint32_t type, uint32_t tx_id, const void *payload, size_t len)
{
	struct xsd_sockmsg hdr = {type, ++client->req_id, tx_id, (uint32_t)len};
	char message[sizeof(hdr) + XENSTORE_PAYLOAD_MAX + 1];

	memcpy(message, &hdr, sizeof(hdr));
	if (len && len <= XENSTORE_PAYLOAD_MAX)
		memcpy(message + sizeof(hdr), payload, len);
	return store_conn_input(client->conn, message,
		len <= XENSTORE_PAYLOAD_MAX ? sizeof(hdr) + len : sizeof(hdr));
}

/* The reply, with '|' for NULs. */
static inline const char *client_ask_bytes(
	struct client *client, uint32_t type, uint32_t tx_id, const void *payload, size_t len)
{
	size_t i;
	int got;

	if (client_send_bytes(client, type, tx_id, payload, len) !=
		(long)(sizeof(struct xsd_sockmsg) + len))
		abort();
	do {
		got = client_recv(client);
		if (got < 0)
			abort(); /* every request has a reply */
	} while (got == XS_WATCH_EVENT);
	if (client->hdr.req_id != client->req_id || client->hdr.tx_id != tx_id ||
		(got != XS_ERROR && got != (int)type))
		abort();
	if (got == XS_ERROR) {
		memmove(client->reply + 1, client->reply, client->hdr.len);
		client->reply[0] = '!';
		return client->reply;
	}
	for (i = 0; i < client->hdr.len; i++)
		if (client->reply[i] == '\0')
			client->reply[i] = '|';
	return client->reply;
}

static inline const char *client_ask(
	struct client *client, uint32_t type, uint32_t tx_id, const char *text)
{
	char payload[XENSTORE_PAYLOAD_MAX];
	size_t i, len = strlen(text);

	for (i = 0; i < len; i++)
		payload[i] = text[i] == '|' ? '\0' : text[i];
	return client_ask_bytes(client, type, tx_id, payload, len);
}

/* Starts a transaction and returns its id. */
static inline uint32_t client_begin(struct client *client)
{
	const char *reply = client_ask(client, XS_TRANSACTION_START, 0, "|");

	if (reply[0] == '!')
		return 0;
	return (uint32_t)strtoul(reply, NULL, 10);
}

/* What arrived since the last call: "path token;path token;" in order. Static until the next. */
static inline const char *client_events(struct client *client)
{
	static char text[CLIENT_EVENTS_BYTES];

	while (client_recv(client) >= 0)
		;
	strcpy(text, client->events);
	client->events[0] = '\0';
	client->nr_events = 0;
	return text;
}

#endif
