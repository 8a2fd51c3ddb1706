/* SPDX-License-Identifier: MIT */
/* Random operations against the reference model, with fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../fuzz/fuzz_store_model.h"

#define NR_BYTES 12000

static unsigned long run_seed(uint64_t seed)
{
	static uint8_t bytes[NR_BYTES];
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	size_t i;

	for (i = 0; i < NR_BYTES; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		bytes[i] = (uint8_t)(state >> 24);
	}
	return model_run(bytes, NR_BYTES);
}

static void random_operations_agree_with_the_model(void **state)
{
	unsigned long nr_commits = 0;
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 60; seed++)
		nr_commits += run_seed(seed);
	/* Otherwise this would not have tested transactions. */
	assert_true(nr_commits > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_the_model),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
