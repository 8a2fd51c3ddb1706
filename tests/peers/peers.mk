# Peers: test programs that use Xen's libraries and nothing of ours, as a program from elsewhere
# would. Included by the Makefile, behind tests.mk. Each runs below `ringfence exec`.

PEERS := $(patsubst tests/peers/%.c,$(TEST_DIR)/peers/%,$(wildcard tests/peers/*.c))

$(PEERS): $(TEST_DIR)/peers/%: tests/peers/%.c $(wildcard tests/peers/*.h)
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $@')
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -pthread \
		$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all) -o $@ $< \
		-Wl,--as-needed -lxenvchan -lxenstore -lxengnttab -lxenevtchn -lxentoollog

test-programs: $(PEERS)
