# The examples: Xen programs that know nothing of Ringfence, built with Debian's libraries alone.
# Included by the Makefile.

EXAMPLES := $(patsubst examples/%.c,$(O)/build/examples/%,$(wildcard examples/*.c))

$(EXAMPLES): $(O)/build/examples/%: examples/%.c examples/vchan-peer.h
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $@')
	$(Q)$(CC) -std=gnu11 $(WARN) $(CFLAGS) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) -o $@ $< \
		-lxenvchan -lxenstore

.PHONY: examples
examples: $(EXAMPLES)
test-programs: $(EXAMPLES)
