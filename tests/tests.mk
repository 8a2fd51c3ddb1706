# How the tests are built and run; included by the Makefile. `prove` runs all of it.
#
# tests/unit/test_*.c      cmocka programs; what each is linked with follows from its name, below
# tests/hostile/*.c        programs that play a lying or dying domain; run by tests/system/*.bats
# tests/system/*.bats      the real daemons in private runtime directories
# tests/fuzz/fuzz_*.c      libFuzzer harnesses, and the kept corpus replayed by an ordinary build
# tests/model/*.pml        Spin models

TEST_DIR := $(O)/build/test$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))

no_main = $(filter-out %/main.o,$(1))
unit_helpers = $(call objs,tests/unit/$(1)*.c)

UNIT_store := $(STORE) $(COMMON)
UNIT_blkfront := $(BLKFRONT) $(COMMON) $(call unit_helpers,fake_)
UNIT_common := $(COMMON)
UNIT_blkback := $(call no_main,$(BLKBACK)) $(COMMON)
UNIT_hypervisor := $(call no_main,$(HYPERVISOR)) $(STORE) $(COMMON)
# The toolstack's part of shared memory.
UNIT_shm := $(call objs,src/toolstack/shm_config.c src/toolstack/shm_line.c src/toolstack/inject*.c) \
	$(COMMON)
# Its configuration files.
UNIT_toolstack := $(call objs,src/toolstack/config*.c src/toolstack/user.c src/toolstack/shm_config.c) \
	$(COMMON)
UNIT_KINDS := store blkfront common blkback hypervisor shm toolstack
UNIT_LIBS_blkback := -luring $(FRONT_LIBS)
UNIT_LIBS_toolstack := -lxlutil -lxenlight

UNIT_TESTS := $(patsubst tests/unit/%.c,$(TEST_DIR)/unit/%,$(wildcard tests/unit/test_*.c))
# A source beside the tests that is not a test_ itself belongs to those of its prefix.
define unit_rule
$(patsubst tests/unit/%.c,$(TEST_DIR)/unit/%,$(wildcard tests/unit/test_$(1)*.c)): \
	$(TEST_DIR)/unit/%: $(OBJ)/tests/unit/%.o $(call unit_helpers,$(1)_) $$(UNIT_$(1))
	$$(call link,$$(filter %.o,$$^) -lcmocka $$(UNIT_LIBS_$(1)) -lm)
endef
$(foreach kind,$(UNIT_KINDS),$(eval $(call unit_rule,$(kind))))

HOSTILE := $(patsubst tests/hostile/%.c,$(TEST_DIR)/hostile/%,$(wildcard tests/hostile/*.c))
$(HOSTILE): $(TEST_DIR)/hostile/%: $(OBJ)/tests/hostile/%.o $(BLKFRONT) $(COMMON)
	$(call link,$(filter %.o,$^) $(FRONT_LIBS) -lm -Wl$(comma)-rpath$(comma)$(abspath $(O))/lib/usermode)

# In this one each of these fails in turn.
WRAPPED := malloc calloc realloc open_memstream mmap memfd_create eventfd epoll_create1 epoll_ctl \
	openat socket socketpair bind listen
$(TEST_DIR)/unit/test_hypervisor_alloc: ALL_LDFLAGS += $(addprefix -Wl$(comma)--wrap=,$(WRAPPED))

# And this one brings queues of its own, and the time.
$(TEST_DIR)/unit/test_blkback_sched: ALL_LDFLAGS += \
	$(addprefix -Wl$(comma)--wrap=,queue_take queue_has_work queue_outstanding clock_gettime)

# A harness is fuzz_PART or fuzz_PART_NAME; the part says what it is built with, and which corpus
# it has. The corpus is replayed through it by a small main of our own, with any compiler.
FUZZ_SRC_store := $(wildcard src/xenstore/*.c src/common/*.c)
FUZZ_SRC_hypercall := $(filter-out %/main.c,$(wildcard src/hypervisor/*.c)) $(FUZZ_SRC_store)
FUZZ_PARTS := store hypercall
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_REPLAY := $(addprefix $(TEST_DIR)/fuzz/replay_,$(FUZZERS:fuzz_%=%))
fuzzers_of = $(patsubst fuzz_%,%,$(filter fuzz_$(1) fuzz_$(1)_%,$(FUZZERS)))
define replay_rule
$(addprefix $(TEST_DIR)/fuzz/replay_,$(call fuzzers_of,$(1))): $(TEST_DIR)/fuzz/replay_%: \
	$(OBJ)/tests/fuzz/fuzz_%.o $(OBJ)/tests/fuzz/replay.o $(call objs,$(FUZZ_SRC_$(1)))
	$$(call link,$$^ -lm)
endef
$(foreach part,$(FUZZ_PARTS),$(eval $(call replay_rule,$(part))))

test-programs: all examples $(UNIT_TESTS) $(HOSTILE) $(FUZZ_REPLAY)

# ---- running ----

# So many test files at a time: each has its own folders and daemons, and much of it waits.
CHECK_JOBS ?= 2
PROVE := prove --timer --failures --jobs $(CHECK_JOBS)
TEST_ENV := RF_ROOT='$(CURDIR)' RF_BIN='$(abspath $(O))/bin' RF_TEST='$(abspath $(TEST_DIR))'
BATS_FILES := $(sort $(wildcard tests/system/*.bats))
UNIT_CHECKS := $(sort $(UNIT_TESTS) $(FUZZ_REPLAY))
CHECKS := $(UNIT_CHECKS) $(BATS_FILES)

ifneq ($(filter check%,$(GOALS)),)
MISSING_TEST := $(shell ./run missing build test)
ifneq ($(strip $(MISSING_TEST)),)
$(error These Debian packages are needed for the tests: $(strip $(MISSING_TEST)). Install them with: apt-get install $(strip $(MISSING_TEST)), or ./run setup)
endif
endif

check: test-programs
	$(TEST_ENV) $(PROVE) --exec tests/run-one $(CHECKS)
check-unit: test-programs
	$(TEST_ENV) $(PROVE) --exec tests/run-one $(UNIT_CHECKS)
check-system: test-programs
	$(TEST_ENV) $(PROVE) --exec tests/run-one $(BATS_FILES)

check-asan:
	+ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
		$(MAKE) O=build/asan SANITIZE=address,undefined check
check-tsan:
	+TSAN_OPTIONS=second_deadlock_stack=1 $(MAKE) O=build/tsan SANITIZE=thread check
check-valgrind: test-programs
	@for test in $(UNIT_TESTS); do echo "$$test"; \
		valgrind -q --error-exitcode=1 --leak-check=full --child-silent-after-fork=yes \
		"$$test" >/dev/null || exit 1; done

# Every scenario on a real Xen, each in a virtual machine of its own, which keeps one processor busy.
# The long ones first, so that both processors end together; speed is a bench.
XEN_LONG := $(sort $(wildcard lab/xen/scenarios/linux-*.sh))
XEN_SCENARIOS := $(XEN_LONG) $(filter-out %/speed.sh $(XEN_LONG),$(sort $(wildcard lab/xen/scenarios/*.sh)))
.PHONY: check-xen
check-xen: test-programs
	$(TEST_ENV) RF_LAB='$(abspath $(O))/build/lab-xen' \
		$(PROVE) --exec lab/xen/run $(XEN_SCENARIOS)

# ---- fuzzing: libFuzzer needs clang ----

FUZZ_SECONDS ?= 600
FUZZ_BIN := $(addprefix $(O)/build/fuzz/,$(FUZZERS))
define fuzz_rule
$(addprefix $(O)/build/fuzz/fuzz_,$(call fuzzers_of,$(1))): $(O)/build/fuzz/%: tests/fuzz/%.c \
	$(FUZZ_SRC_$(1)) $(wildcard src/*/*.h tests/unit/*.h tests/fuzz/*.h)
	@mkdir -p $$(@D)
	clang $$(CPPFLAGS) -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $$@ $$(filter %.c,$$^) -lm
endef
$(foreach part,$(FUZZ_PARTS),$(eval $(call fuzz_rule,$(part))))

fuzz: $(FUZZ_BIN)
	@for name in $(FUZZERS); do part=$${name#fuzz_}; corpus=tests/fuzz/corpus/$${part%%_*}; \
		work=$$(mktemp -d); $(O)/build/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix="$$work/" "$$work" "$$corpus" || exit 1; rm -rf "$$work"; done
fuzz-smoke:
	+$(MAKE) fuzz FUZZ_SECONDS=20

.PHONY: check-lifecycle
# As many domains one after the other as there are in a long life.
check-lifecycle: test-programs
	RF_LIVES=10000 RF_CREATE_LIVES=1000 $(TEST_ENV) $(PROVE) --exec tests/run-one \
		tests/system/lifecycle.bats tests/system/lifecycle_create.bats

check-slow: check check-asan check-tsan check-valgrind check-lifecycle fuzz
