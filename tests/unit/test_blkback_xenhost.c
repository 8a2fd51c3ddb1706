/* SPDX-License-Identifier: MIT */
/* How a Xen host and its kernel's back end are recognised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blkback/xenhost.h"

static void the_kernels_back_end_is_seen_by_its_driver(void **state)
{
	static const char *const dirs[] = {"/bus", "/bus/xen-backend", "/bus/xen-backend/drivers",
		"/bus/xen-backend/drivers/vif", "/bus/xen-backend/drivers/vbd"};
	char sysfs[] = "/tmp/rf-sysfs.XXXXXX", path[128];
	const size_t nr = sizeof(dirs) / sizeof(dirs[0]);

	(void)state;
	assert_non_null(mkdtemp(sysfs));
	for (size_t i = 0; i < nr; i++) {
		/* Neither the bus nor another driver on it is one. */
		assert_false(xenhost_has_kernel_blkback(sysfs));
		snprintf(path, sizeof(path), "%s%s", sysfs, dirs[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_true(xenhost_has_kernel_blkback(sysfs));
	for (size_t i = nr; i-- > 0;) {
		snprintf(path, sizeof(path), "%s%s", sysfs, dirs[i]);
		assert_int_equal(rmdir(path), 0);
		assert_false(xenhost_has_kernel_blkback(sysfs));
	}
	assert_int_equal(rmdir(sysfs), 0);
	assert_false(xenhost_has_kernel_blkback(sysfs));
}

static void our_own_hypervisor_is_no_xen_host(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("RINGFENCE_HYPERCALL"), 0);
	assert_true(xenhost_is_real());
	assert_int_equal(setenv("RINGFENCE_HYPERCALL", "/proc/self/fd/3", 1), 0);
	assert_false(xenhost_is_real());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernels_back_end_is_seen_by_its_driver),
		cmocka_unit_test(our_own_hypervisor_is_no_xen_host),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
