# Peers: test programs that use Xen's libraries and nothing of ours, as a program from elsewhere
# would. Included by the Makefile, behind tests.mk. Each runs below `ringfence exec`.

PEERS := $(patsubst tests/peers/%.c,$(TEST_DIR)/peers/%,$(wildcard tests/peers/*.c))

$(PEERS): $(TEST_DIR)/peers/%: tests/peers/%.c $(wildcard tests/peers/*.h)
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $@')
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -pthread \
		$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all) -o $@ $< \
		-Wl,--as-needed -lxenvchan -lxenstore -lxengnttab -lxenevtchn -lxentoollog

# A program with memory at fixed addresses, in every way that Linux places a program.
SHM_PROBES := $(addprefix $(TEST_DIR)/peers/shm_probe-,fixed static static-pie)
SHM_PROBE_fixed := -fno-pie -no-pie
SHM_PROBE_static := -fno-pie -no-pie -static
SHM_PROBE_static-pie := -fPIE -static-pie

$(SHM_PROBES): $(TEST_DIR)/peers/shm_probe-%: tests/peers/shm_probe.c
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $@')
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS) $(SHM_PROBE_$*) -o $@ $<

test-programs: $(PEERS) $(SHM_PROBES)
