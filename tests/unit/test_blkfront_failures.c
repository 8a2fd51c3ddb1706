/* SPDX-License-Identifier: MIT */
/* Every call to Xen's libraries fails once: nothing may be left, and the next opening works. */
#include "blkfront_fixture.h"

static struct back back;

/* One attempt with the kth call failing. True when there was no kth call any more. */
static bool attempt(unsigned int nr_queues, unsigned int k, int err, bool sticky)
{
	struct rf_blk_options options = {.connect_timeout_ms = 200, .nr_queues = nr_queues};
	struct rf_blk *blk = NULL;
	unsigned int nr_calls;
	int rc;

	fixture_start(&back);
	back.max_ring_order = 1;
	back.max_queues = nr_queues;
	back.max_indirect = 64;
	back_start(&back);
	/* Ready, so that the number of calls until then does not vary. */
	while (fake_store_number(BACK_PATH "/state") != 2)
		fake_store_wait(1);
	fake_fail_at(k, err, sticky);
	rc = rf_blk_open("xvda", &options, &blk);
	nr_calls = fake_nr_calls();
	fake_fail_at(0, 0, false);
	if (rc == 0) {
		uint8_t buf[512];

		assert_int_equal(rf_blk_read(blk, 0, 1, buf), 0);
		rf_blk_close(blk);
	} else {
		assert_null(blk);
		assert_true(nr_calls >= k);
	}
	assert_int_equal(fake_nr_grants(), 0);
	assert_int_equal(fake_nr_ports(), 0);
	assert_int_equal(fake_nr_handles(), 0);
	back_stop(&back);
	return nr_calls < k;
}

static void sweep(int err, bool sticky)
{
	for (unsigned int nr_queues = 1; nr_queues <= 3; nr_queues += 2) {
		unsigned int k = 1;

		while (!attempt(nr_queues, k, err, sticky))
			k++;
		assert_true(k > 20);
	}
}

static void opening_undoes_itself_whatever_fails_once(void **state)
{
	(void)state;
	sweep(EIO, false);
	sweep(ENOMEM, false);
	sweep(ENOSPC, false);
}

static void opening_undoes_itself_when_all_fails_from_there_on(void **state)
{
	(void)state;
	sweep(EIO, true);
}

/* The store and the library may fail at closing: closing still closes. */
static void closing_survives_whatever_fails(void **state)
{
	unsigned int nr_calls = UINT32_MAX;

	(void)state;
	for (unsigned int k = 1; k <= nr_calls; k++) {
		struct rf_blk *blk;

		fixture_start(&back);
		blk = fixture_open(&back, RF_BLK_WAIT_EVENT);
		fake_fail_at(k, EIO, k % 2);
		rf_blk_close(blk);
		/* How many there are varies with the back end's pace: enough is enough. */
		nr_calls = fake_nr_calls() < 60 ? fake_nr_calls() : 60;
		fake_fail_at(0, 0, false);
		assert_int_equal(fake_nr_grants() + fake_nr_ports() + fake_nr_handles(), 0);
		back_stop(&back);
	}
}

/* Buffers and pages of segments are shared later: what fails then is only that. */
static void requests_survive_whatever_cannot_be_shared(void **state)
{
	static const int errors[] = {ENOSPC, ENOMEM};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		for (unsigned int k = 1; k <= 3; k++) {
			struct rf_blk_info info;
			struct rf_blk *blk;
			void *buf;
			int rc;

			fixture_start(&back);
			back.max_indirect = 256;
			blk = fixture_open_queues(&back, 2, RF_BLK_WAIT_SPIN);
			/* Takes what the store has to say, so that nobody asks it any more. */
			rf_blk_get_info(blk, &info);
			fake_fail_at(k, errors[i % 2], i / 2);
			rc = rf_blk_buffer_alloc(blk, 1 << 20, &buf);
			assert_int_equal(rc, k > 1 ? 0 : -errors[i % 2]);
			if (!rc) {
				assert_int_equal(rf_blk_read(blk, 0, 2048, buf), 0);
				assert_int_equal(rf_blk_write(blk, 0, 2048, buf), 0);
				/* The first one asks for the page, and is answered for all. */
				assert_int_equal(back.nr_indirect, k == 2 ? 0 : 2);
			}
			fake_fail_at(0, 0, false);
			fixture_close(&back, blk);
		}
	}
}

static char told[16384];

static void collect_log(void *data, const char *message)
{
	(void)data;
	strncat(told, message, sizeof(told) - strlen(told) - 1);
}

static int open_and_close(unsigned int grant_limit, unsigned int failing_call)
{
	struct rf_blk_options options = {.connect_timeout_ms = 50, .log = collect_log};
	struct rf_blk *blk = NULL;
	int rc;

	fixture_start(&back);
	fake_set_grant_limit(grant_limit);
	back_start(&back);
	while (fake_store_number(BACK_PATH "/state") != 2)
		fake_store_wait(1);
	fake_fail_at(failing_call, ENOENT, false);
	rc = rf_blk_open("xvda", &options, &blk);
	fake_fail_at(0, 0, false);
	fixture_close(&back, blk);
	return rc;
}

/* What a domain of Xen may lack is told by the name of the module, or the file, that is missing. */
static void what_the_platform_lacks_is_told(void **state)
{
	static const char *const wanted[] = {"/dev/xen/xenbus", "xen-gntalloc", "xen-evtchn"};

	(void)state;
	told[0] = '\0';
	for (unsigned int k = 1; k <= 30; k++)
		(void)open_and_close(10000, k);
	for (unsigned int i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_non_null(strstr(told, wanted[i]));
	told[0] = '\0';
	assert_int_equal(open_and_close(3, 0), -ENOSPC);
	assert_non_null(strstr(told, "1024 grants"));
}

static void a_failed_opening_leaves_the_device_usable(void **state)
{
	(void)state;
	for (unsigned int k = 5; k < 60; k += 7) {
		struct rf_blk *blk = NULL;
		int rc;

		fixture_start(&back);
		back_start(&back);
		fake_fail_at(k, EIO, false);
		rc = rf_blk_open("xvda", NULL, &blk);
		fake_fail_at(0, 0, false);
		if (rc < 0)
			assert_int_equal(rf_blk_open("xvda", NULL, &blk), 0);
		fixture_close(&back, blk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening_undoes_itself_whatever_fails_once),
		cmocka_unit_test(opening_undoes_itself_when_all_fails_from_there_on),
		cmocka_unit_test(closing_survives_whatever_fails),
		cmocka_unit_test(requests_survive_whatever_cannot_be_shared),
		cmocka_unit_test(what_the_platform_lacks_is_told),
		cmocka_unit_test(a_failed_opening_leaves_the_device_usable),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront_failures", tests, NULL, NULL);
}
