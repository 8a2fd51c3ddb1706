# The examples, included by the Makefile. vchan-*: Xen programs that know nothing of Ringfence, built
# with Debian's libraries alone. disk: a program that uses libringfence, and else Xen's libraries as
# the system has them. shm-square, shm-ask: programs that need no library, and share memory; shm-find
# uses libringfence for it.

EXAMPLES := $(addprefix $(O)/build/examples/,vchan-send vchan-recv disk shm-square shm-ask shm-find)
EXAMPLE_FLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE))

$(O)/build/examples/vchan-%: examples/vchan-%.c examples/vchan-peer.h
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $@')
	$(Q)$(CC) $(EXAMPLE_FLAGS) -o $@ $< -lxenvchan -lxenstore

$(O)/build/examples/disk: $(wildcard examples/disk*.c) examples/disk.h include/ringfence/blkfront.h \
	$(O)/lib/libringfence.a
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $@')
	$(Q)$(CC) $(EXAMPLE_FLAGS) -D_GNU_SOURCE -Iinclude -pthread -o $@ \
		$(filter %.c %.a,$^) -Wl,--as-needed $(FRONT_LIBS) -lm

$(O)/build/examples/shm-%: examples/shm-%.c
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $@')
	$(Q)$(CC) $(EXAMPLE_FLAGS) -D_GNU_SOURCE -o $@ $<

$(O)/build/examples/shm-find: examples/shm-find.c include/ringfence/shm.h $(O)/lib/libringfence.a
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $@')
	$(Q)$(CC) $(EXAMPLE_FLAGS) -Iinclude -pthread -o $@ $(filter %.c %.a,$^) -Wl,--as-needed \
		$(FRONT_LIBS) -lm

.PHONY: examples
examples: $(EXAMPLES)
test-programs: $(EXAMPLES)
