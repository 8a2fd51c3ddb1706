# The benchmarks; included by the Makefile. BENCH: names of bench/suite/*.py and options, see
# bench/README.md; nothing means all of them.

BENCH ?=
BENCH_PROGRAMS := $(addprefix $(O)/build/bench/,blkbench ringbench guests storebench)
BENCH_FRONT_LIBS := $(FRONT_LIBS) -lm -Wl$(comma)-rpath$(comma)$(abspath $(O))/lib/usermode

$(O)/build/bench/blkbench: $(call objs,bench/blkbench*.c) $(BLKFRONT) $(COMMON)
	$(call link,$^ $(BENCH_FRONT_LIBS))
$(O)/build/bench/ringbench: $(call objs,bench/ringbench.c bench/barering.c) $(BLKFRONT) $(COMMON)
	$(call link,$^ $(BENCH_FRONT_LIBS))
$(O)/build/bench/guests: $(OBJ)/bench/guests.o $(BLKFRONT) $(COMMON)
	$(call link,$^ $(BENCH_FRONT_LIBS))
$(O)/build/bench/storebench: $(OBJ)/bench/storebench.o $(COMMON)
	$(call link,$^ -lxenstore -lm)

bench-programs: all $(BENCH_PROGRAMS)

bench: bench-programs
	@RF_BIN='$(abspath $(O))/bin' RF_BENCH='$(abspath $(O))/build/bench' \
		python3 -B bench/bench.py $(BENCH)

ifneq ($(filter bench,$(GOALS)),)
MISSING_BENCH := $(shell ./run missing build bench)
ifneq ($(strip $(MISSING_BENCH)),)
$(error These Debian packages are needed for the benchmarks: $(strip $(MISSING_BENCH)). Install them with: apt-get install $(strip $(MISSING_BENCH)), or ./run setup build bench)
endif
endif
