/* SPDX-License-Identifier: MIT */
/* Every call to Xen's libraries fails once: nothing may be left, and the next opening works. */
#include "blkfront_fixture.h"

static struct back back;

/* One attempt with the kth call failing. True when there was no kth call any more. */
static bool attempt(unsigned int k, int err, bool sticky)
{
	struct rf_blk_options options = {.connect_timeout_ms = 200};
	struct rf_blk *blk = NULL;
	unsigned int nr_calls;
	int rc;

	fixture_start(&back);
	back.max_ring_order = 1;
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
	unsigned int k = 1;

	while (!attempt(k, err, sticky))
		k++;
	assert_true(k > 20);
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
		cmocka_unit_test(a_failed_opening_leaves_the_device_usable),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("blkfront_failures", tests, NULL, NULL);
}
