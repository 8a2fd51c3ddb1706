/* SPDX-License-Identifier: MIT */
/* Shared memory areas: who gets them, what the store says of them, and what the end of a sharer means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "hypervisor/shm.h"
#include "test_hypervisor_fixture.h"

static const struct domain_limits limits = {32000, 4096, 4096, 512, 16};
static char error[SHM_ERROR_SIZE];

static int setup(void **state)
{
	(void)state;
	hv_open(&limits, 4000, evtchn_probe());
	return 0;
}

/* Also makes sure that no node and no descriptor of an area is left. */
static int teardown(void **state)
{
	unsigned int nr_fds;

	(void)state;
	hv_end_domains();
	nr_fds = nr_open_fds();
	assert_null(hv.shm_areas);
	hv_close();
	assert_true(nr_open_fds() < nr_fds);
	return 0;
}

static struct domain *create(const char *name)
{
	struct domain *dom;

	assert_int_equal(domain_create(&hv, name, DOMAIN_GUEST, 0, &dom), 0);
	domain_handed_over(dom);
	return dom;
}

static int attach(struct domain *dom, struct shm_spec spec)
{
	return shm_attach(dom, &spec, 1, false, error, sizeof(error));
}

static void refuse(struct domain *dom, struct shm_spec spec, int rc, const char *part)
{
	assert_int_equal(attach(dom, spec), rc);
	if (!strstr(error, part))
		fail_msg("'%s' is not in: %s", part, error);
	assert_null(dom->shm_mappings);
}

static void assert_node(const char *path, const char *value)
{
	char full[96];
	const char *found;

	snprintf(full, sizeof(full), "/local/shared_mem/%s", path);
	found = store_read(hv.store, full, NULL);
	if (!value && !found)
		return;
	if (!value || !found || strcmp(found, value) != 0)
		fail_msg("%s is %s, not %s", full, found ? found : "missing",
			value ? value : "missing");
}

static struct shm_spec any(uint32_t id, uint64_t begin, uint64_t size)
{
	return (struct shm_spec){id, SHM_FIRST_OWNS, true, begin, size, 0};
}

static char *map_area(struct domain *dom, uint32_t id)
{
	int fd = shm_open_memory(dom, id);
	char *memory;

	assert_true(fd >= 0);
	memory = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	close(fd);
	return memory;
}

static void test_first_owns_and_later_ones_borrow(void **state)
{
	struct domain *first = create("first"), *second = create("second");

	(void)state;
	assert_int_equal(attach(first, any(7, 0x50000000, 0x2000)), 0);
	assert_node("7/owner", "1");
	assert_node("7/size", "0x2000");
	assert_node("7/prot", "rw");
	assert_node("7/count", "1");
	assert_node("7/mappings/1", "0x50000000-0x50002000");
	assert_node("7/domains/1/role", "owner");
	assert_node("7/mappings/2", NULL);
	assert_int_equal(attach(second, any(7, 0x60000000, 0x2000)), 0);
	assert_node("7/owner", "1");
	assert_node("7/count", "2");
	assert_node("7/mappings/2", "0x60000000-0x60002000");
	assert_node("7/domains/2/role", "borrower");
	assert_node("7/domains/2/prot", "rw");
	assert_node("7/domains/2/offset", "0x0");
}

static void test_a_part_read_only(void **state)
{
	struct domain *owner = create("owner"), *reader = create("reader");

	(void)state;
	assert_int_equal(
		attach(owner, (struct shm_spec){0, SHM_OWNER, false, 0x50000000, 0x4000, 0}), 0);
	assert_node("0/prot", "ro");
	assert_node("0/domains/1/prot", "rw");
	assert_int_equal(attach(reader,
		(struct shm_spec){0, SHM_BORROWER, false, 0x60000000, 0x1000, 0x3000}), 0);
	assert_node("0/domains/2/prot", "ro");
	assert_node("0/domains/2/offset", "0x3000");
	assert_node("0/mappings/2", "0x60000000-0x60001000");
}

static void test_memory_is_sealed_and_read_only_where_it_says_so(void **state)
{
	struct domain *owner = create("owner"), *reader = create("reader");
	int fd, reader_fd;
	char *memory;

	(void)state;
	assert_int_equal(attach(owner, (struct shm_spec){1, SHM_OWNER, false, 0x50000000, 0x1000, 0}), 0);
	assert_int_equal(
		attach(reader, (struct shm_spec){1, SHM_BORROWER, false, 0x50000000, 0x1000, 0}), 0);
	assert_int_equal(shm_open_memory(owner, 2), -ENOENT);
	fd = shm_open_memory(owner, 1);
	reader_fd = shm_open_memory(reader, 1);
	assert_true(fd >= 0 && reader_fd >= 0);
	assert_true(shm_is_owner(owner, 1) && !shm_is_owner(reader, 1) && !shm_is_owner(owner, 2));
	memory = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(memory[0], 0);
	munmap(memory, 0x1000);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 0x2000), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_ptr_equal(mmap(NULL, 0x1000, PROT_WRITE, MAP_SHARED, reader_fd, 0), MAP_FAILED);
	memory = mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, reader_fd, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(mprotect(memory, 0x1000, PROT_READ | PROT_WRITE), -1);
	assert_int_equal(madvise(memory, 0x1000, MADV_REMOVE), -1);
	munmap(memory, 0x1000);
	close(fd);
	close(reader_fd);
}

static void test_what_is_refused(void **state)
{
	struct domain *owner = create("owner"), *other = create("other");

	(void)state;
	refuse(other, (struct shm_spec){1, SHM_BORROWER, true, 0x50000000, 0x1000, 0}, -ENOENT,
		"area 1 has no owner yet");
	assert_int_equal(attach(owner, (struct shm_spec){1, SHM_OWNER, false, 0x50000000, 0x2000, 0}), 0);
	refuse(other, (struct shm_spec){1, SHM_OWNER, true, 0x50000000, 0x2000, 0}, -EEXIST,
		"has an owner already: owner (domain 1)");
	refuse(other, any(1, 0x50000000, 0x1000), -EINVAL, "has 0x1000 bytes, but the area");
	refuse(other, any(1, 0x50000000, 0x2000), -EACCES, "permits others only to read");
	refuse(other, (struct shm_spec){1, SHM_BORROWER, true, 0x50000000, 0x1000, 0}, -EACCES,
		"permits others only to read");
	refuse(other, (struct shm_spec){1, SHM_BORROWER, false, 0x50000000, 0x1000, 0x2000}, -EINVAL,
		"beyond its end");
	refuse(other, (struct shm_spec){1, SHM_BORROWER, false, 0x50000000, 0x3000, 0}, -EINVAL,
		"beyond its end");
	refuse(other, (struct shm_spec){1, SHM_BORROWER, false, 0x50000000, 0x1000,
		UINT64_C(0xfffffffffffff000)}, -EINVAL, "beyond its end");
	refuse(other, any(2, 0x50000001, 0x1000), -EINVAL, "not a multiple");
	refuse(other, any(2, 0x1000, 0x1000), -ERANGE, "not within");
	assert_int_equal(attach(owner, any(3, 0x70000000, 0x1000)), -EBUSY);
	assert_node("1/count", "1");
	assert_node("2", NULL);
	assert_node("3", NULL);
}

static void test_all_or_none(void **state)
{
	struct domain *owner = create("owner"), *other = create("other");
	struct shm_spec specs[] = {any(1, 0x50000000, 0x1000), any(2, 0x60000000, 0x1000),
		any(3, 0x70000000, 0x1000)};

	(void)state;
	assert_int_equal(attach(owner, any(3, 0x50000000, 0x2000)), 0);
	assert_int_equal(shm_attach(other, specs, 3, false, error, sizeof(error)), -EINVAL);
	assert_null(other->shm_mappings);
	assert_node("1", NULL);
	assert_node("2", NULL);
	assert_node("3/count", "1");
	specs[2].size = 0x2000;
	assert_int_equal(shm_check(&hv, specs, 3, error, sizeof(error)), 0);
	assert_true(specs[0].role == SHM_OWNER && specs[2].role == SHM_BORROWER);
	assert_node("1", NULL);
	assert_int_equal(shm_attach(other, specs, 3, false, error, sizeof(error)), 0);
	assert_node("1/owner", "2");
	assert_node("3/owner", "1");
}

static void test_a_borrower_ends(void **state)
{
	struct domain *owner = create("owner"), *other = create("other");

	(void)state;
	assert_int_equal(attach(owner, any(1, 0x50000000, 0x1000)), 0);
	assert_int_equal(attach(other, any(1, 0x50000000, 0x1000)), 0);
	domain_destroy(other);
	assert_node("1/owner", "1");
	assert_node("1/count", "1");
	assert_node("1/mappings/2", NULL);
	assert_node("1/domains/2", NULL);
	hv_check();
}

static void test_the_owner_ends_first(void **state)
{
	struct domain *owner = create("owner"), *other = create("other"), *late;

	(void)state;
	assert_int_equal(attach(owner, any(1, 0x50000000, 0x1000)), 0);
	assert_int_equal(attach(other, any(1, 0x60000000, 0x1000)), 0);
	domain_destroy(owner);
	hv_check();
	assert_node("1/owner", NULL);
	assert_node("1/size", "0x1000");
	assert_node("1/count", "1");
	assert_node("1/mappings/1", NULL);
	assert_node("1/mappings/2", "0x60000000-0x60001000");
	/* Nobody else gets what is left in it, by either form. */
	late = create("late");
	refuse(late, any(1, 0x50000000, 0x1000), -ESTALE, "other (domain 2) still uses its memory");
	refuse(late, (struct shm_spec){1, SHM_OWNER, true, 0x50000000, 0x1000, 0}, -ESTALE, "ended");
	refuse(late, (struct shm_spec){1, SHM_BORROWER, false, 0x50000000, 0x1000, 0}, -ESTALE, "ended");
	domain_destroy(other);
	assert_node("1", NULL);
	assert_int_equal(attach(late, any(1, 0x50000000, 0x1000)), 0);
	assert_node("1/owner", "3");
}

static void test_a_restarted_owner_has_it_back(void **state)
{
	struct domain *owner = create("owner"), *other = create("other");
	struct shm_spec as_owner = {1, SHM_OWNER, true, 0x50000000, 0x1000, 0};
	struct shm_spec as_borrower = {1, SHM_BORROWER, true, 0x50000000, 0x1000, 0};
	struct shm_spec too_large = any(1, 0x50000000, 0x2000);
	char *before, *after;

	(void)state;
	assert_int_equal(attach(owner, as_owner), 0);
	assert_int_equal(attach(other, any(1, 0x60000000, 0x1000)), 0);
	before = map_area(other, 1);
	memcpy(before, "kept", 5);
	domain_destroy(owner);
	hv_check();
	owner = create("owner");
	assert_int_equal(shm_attach(owner, &as_borrower, 1, true, error, sizeof(error)), -ESTALE);
	assert_int_equal(shm_attach(owner, &too_large, 1, true, error, sizeof(error)), -EINVAL);
	assert_int_equal(shm_attach(owner, &as_owner, 1, true, error, sizeof(error)), 0);
	hv_check();
	assert_node("1/owner", "3");
	assert_node("1/count", "2");
	assert_node("1/mappings/3", "0x50000000-0x50001000");
	after = map_area(owner, 1);
	assert_string_equal(after, "kept");
	munmap(before, 0x1000);
	munmap(after, 0x1000);
	/* Now it can be borrowed again, and who has paid meanwhile may end. */
	assert_int_equal(attach(create("late"), as_borrower), 0);
	domain_destroy(other);
	hv_check();
	assert_node("1/owner", "3");
	assert_node("1/count", "2");
}

static void test_nobody_can_pay_for_the_memory_of_an_owner_that_ended(void **state)
{
	struct domain *owner = create("owner"), *other = create("other");
	struct shm_spec spec = any(1, 0x50000000, 0x1000);

	(void)state;
	assert_int_equal(attach(owner, spec), 0);
	assert_int_equal(attach(other, spec), 0);
	while (domain_take_fds(other, 1) == 0)
		;
	domain_destroy(owner);
	assert_int_equal(shm_open_memory(other, 1), -ESTALE);
	domain_return_fds(other, other->nr_fds - FDS_OF_DOMAIN);
	hv_check();
	owner = create("owner");
	assert_int_equal(shm_attach(owner, &spec, 1, true, error, sizeof(error)), -ESTALE);
	assert_node("1/count", "1");
}

static void test_the_last_one_ends(void **state)
{
	struct domain *owner = create("owner");
	char *memory;

	(void)state;
	assert_int_equal(attach(owner, any(1, 0x50000000, 0x1000)), 0);
	memory = map_area(owner, 1);
	memcpy(memory, "secret", 6);
	domain_destroy(owner);
	assert_null(store_read(hv.store, "/local/shared_mem", NULL));
	/* A later area of that id is another one. */
	owner = create("owner");
	assert_int_equal(attach(owner, any(1, 0x50000000, 0x1000)), 0);
	munmap(memory, 0x1000);
	memory = map_area(owner, 1);
	assert_int_equal(memory[0], 0);
	munmap(memory, 0x1000);
}

static void test_too_many(void **state)
{
	struct shm_spec specs[SHM_PER_DOMAIN_MAX];
	char name[16];

	(void)state;
	for (unsigned int i = 0; i < SHM_AREAS_MAX; i++) {
		unsigned int at = i % SHM_PER_DOMAIN_MAX;

		specs[at] = any(i, 0x50000000 + at * 0x1000, 0x1000);
		snprintf(name, sizeof(name), "d%u", i);
		if (at == SHM_PER_DOMAIN_MAX - 1)
			assert_int_equal(shm_attach(create(name), specs, SHM_PER_DOMAIN_MAX, false, error,
				sizeof(error)), 0);
	}
	refuse(create("one-more"), any(SHM_AREAS_MAX, 0x50000000, 0x1000), -ENOSPC, "too many");
	/* Borrowing costs no area. */
	assert_int_equal(attach(create("borrower"), any(0, 0x50000000, 0x1000)), 0);
}

static void test_descriptors_are_paid_for(void **state)
{
	struct domain *greedy = create("greedy"), *other = create("other");

	(void)state;
	while (domain_take_fds(greedy, 1) == 0)
		;
	refuse(greedy, any(1, 0x50000000, 0x1000), -EMFILE, "Too many open files");
	assert_node("1", NULL);
	assert_int_equal(attach(other, any(1, 0x50000000, 0x1000)), 0);
	assert_int_equal(other->nr_fds, FDS_OF_DOMAIN + 1);
	domain_return_fds(greedy, greedy->nr_fds - FDS_OF_DOMAIN);
	/* A borrower pays nothing, and the owner's end takes its part along. */
	assert_int_equal(attach(greedy, any(1, 0x50000000, 0x1000)), 0);
	assert_int_equal(greedy->nr_fds, FDS_OF_DOMAIN);
	domain_destroy(other);
	hv_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_owns_and_later_ones_borrow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_part_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_memory_is_sealed_and_read_only_where_it_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_or_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_borrower_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_owner_ends_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_restarted_owner_has_it_back, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_nobody_can_pay_for_the_memory_of_an_owner_that_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_last_one_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_are_paid_for, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("hypervisor: shared memory areas", tests, NULL, NULL);
}
