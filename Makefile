# Ringfence. `make` builds bin/ and lib/; `make help` lists the targets.
#
# O= names the output folder (default: this one), SANITIZE= builds with sanitizers, e.g.
#   make O=build/asan SANITIZE=address,undefined

CC ?= gcc
O ?= .
SANITIZE ?=
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
PKGS := liburing xengnttab xenevtchn xenstore

.DEFAULT_GOAL := all
GOALS := $(or $(MAKECMDGOALS),all)

# Goals that need nothing but make itself.
ifneq ($(filter-out clean help uninstall,$(GOALS)),)
MISSING := $(shell ./run missing build)
ifneq ($(strip $(MISSING)),)
$(error These Debian packages are needed to build: $(strip $(MISSING)). Install them with: apt-get install $(strip $(MISSING)), or ./run setup)
endif
endif

VERSION := $(shell cat VERSION)
# WERROR= for compilers that nobody here has seen.
WERROR ?= -Werror
WARN := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wvla -Wwrite-strings
CPPFLAGS += -D_GNU_SOURCE -DRINGFENCE_VERSION='"$(VERSION)"' \
	-D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__ -Isrc -Iinclude
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 $(WARN) -fPIC -fvisibility=hidden -pthread $(CFLAGS)
ALL_LDFLAGS = -pthread -Wl,-z,relro,-z,now,--as-needed $(LDFLAGS)
ifneq ($(SANITIZE),)
ALL_CFLAGS += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_LDFLAGS += -fsanitize=$(SANITIZE)
else
ALL_CFLAGS += -D_FORTIFY_SOURCE=2 -fstack-protector-strong
endif

comma := ,
OBJ := $(O)/build/obj$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
objs = $(patsubst %.c,$(OBJ)/%.o,$(wildcard $(1)))

COMMON := $(call objs,src/common/*.c)
STORE := $(call objs,src/xenstore/*.c)
HYPERVISOR := $(call objs,src/hypervisor/*.c)
XENLIBS := $(call objs,src/xenlibs/link.c src/common/unixsock.c)
GNTTAB := $(call objs,src/xenlibs/gnt*.c)
EVTCHN := $(call objs,src/xenlibs/evtchn*.c)
BLKBACK := $(call objs,src/blkback/*.c) $(call objs,src/blkback/drivers/*.c)
BLKFRONT := $(call objs,src/blkfront/*.c)
SERVICE := $(call objs,src/service/service*.c)
CLIENT := $(call objs,src/service/client*.c)
TOOLSTACK := $(call objs,src/toolstack/*.c)
INTEGRITY := $(call objs,src/service/tool_for_integrity*.c)
EXERCISE_COMMON := $(call objs,src/service/common*.c)
BENCH_SRC := $(wildcard bench/*.c)
HOSTILE_SRC := $(wildcard tests/hostile/*.c)

ALL_SRC := $(wildcard src/*/*.c src/*/*/*.c)
ALL_OBJ := $(patsubst %.c,$(OBJ)/%.o,$(ALL_SRC) $(BENCH_SRC) $(HOSTILE_SRC) $(wildcard tests/unit/*.c tests/fuzz/*.c))

PROGRAMS := $(addprefix $(O)/bin/,ringfenced blkback ringfence service client tool_for_integrity)
LIBS := $(O)/lib/usermode/libxengnttab.so.1 $(O)/lib/usermode/libxenevtchn.so.1 \
	$(O)/lib/libringfence.so.0 $(O)/lib/libringfence.a

.PHONY: all clean help check check-unit check-system check-asan check-tsan \
	check-valgrind check-slow fuzz fuzz-smoke bench bench-programs test-programs
all: $(PROGRAMS) $(LIBS)

help:
	@echo 'make              build bin/ and lib/'
	@echo 'make check        all tests that run in minutes, closed by the summary of prove'
	@echo 'make check-unit, check-system                  one part of it'
	@echo 'make check-asan, check-tsan, check-valgrind    the same tests under sanitizers'
	@echo 'make check-slow   the long checks: fuzzing, sanitizers'
	@echo 'make examples     build/examples/, programs for stock Xen libraries'
	@echo 'make bench        the benchmarks; BENCH="disk null" chooses'
	@echo 'make install      below PREFIX=/usr/local; DESTDIR= is put in front; make uninstall'
	@echo 'make deb          Debian packages, in build/deb'
	@echo 'make clean        remove everything that was built'

# ---- how things are built ----

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  CC      $<')
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define link
@mkdir -p $(@D)
$(if $(filter 0,$(V)),@echo '  LD      $@')
$(Q)$(CC) $(ALL_CFLAGS) -o $@ $(1) $(ALL_LDFLAGS)
endef

# Sanitizers leave their runtime to the program.
NO_UNDEFINED := $(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs)
USERMODE_RPATH := -Wl,-rpath,'$$ORIGIN/../lib/usermode',--enable-new-dtags
FRONT_LIBS := -lxengnttab -lxenevtchn -lxenstore -lxentoollog

$(O)/bin/ringfenced: $(HYPERVISOR) $(STORE) $(COMMON)
	$(call link,$^ -lm)
$(O)/bin/blkback: $(BLKBACK) $(COMMON)
	$(call link,$^ -luring $(FRONT_LIBS) -lm)
$(O)/bin/ringfence: $(TOOLSTACK) $(COMMON)
	$(call link,$^ -lxlutil -lxenlight -lxengnttab -lxenstore -lxentoollog -lncursesw -ltinfo -lm $(USERMODE_RPATH))
$(O)/bin/service: $(SERVICE) $(EXERCISE_COMMON) $(COMMON)
	$(call link,$^ -lm)
$(O)/bin/client: $(CLIENT) $(EXERCISE_COMMON) $(BLKFRONT) $(COMMON)
	$(call link,$^ $(FRONT_LIBS) -lm $(USERMODE_RPATH))
$(O)/bin/tool_for_integrity: $(INTEGRITY) $(EXERCISE_COMMON) $(COMMON)
	$(call link,$^ -lm)

$(O)/lib/usermode/libxengnttab.so.1: $(GNTTAB) $(XENLIBS) src/xenlibs/libxengnttab.map
	$(call link,-shared $(NO_UNDEFINED) -Wl$(comma)-soname$(comma)$(@F) \
		-Wl$(comma)--version-script=src/xenlibs/libxengnttab.map $(filter %.o,$^) -lxentoollog)
$(O)/lib/usermode/libxenevtchn.so.1: $(EVTCHN) $(XENLIBS) src/xenlibs/libxenevtchn.map
	$(call link,-shared $(NO_UNDEFINED) -Wl$(comma)-soname$(comma)$(@F) \
		-Wl$(comma)--version-script=src/xenlibs/libxenevtchn.map $(filter %.o,$^) -lxentoollog)
$(O)/lib/libringfence.so.0: $(BLKFRONT) $(COMMON) src/blkfront/libringfence.map
	$(call link,-shared $(NO_UNDEFINED) -Wl$(comma)-soname$(comma)$(@F) \
		-Wl$(comma)--version-script=src/blkfront/libringfence.map $(filter %.o,$^) $(FRONT_LIBS) -lm)
$(O)/lib/libringfence.a: $(BLKFRONT) $(COMMON)
	@mkdir -p $(@D)
	$(if $(filter 0,$(V)),@echo '  AR      $@')
	$(Q)rm -f $@ && ar rcs $@ $^

# ---- tests ----

include tests/tests.mk
include tests/peers/peers.mk
include examples/examples.mk
include bench/bench.mk
include install.mk

clean:
	rm -rf build bin lib bench/out

-include $(ALL_OBJ:.o=.d)
