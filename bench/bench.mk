# The benchmarks; included by the Makefile. BENCH chooses among bench/*.sh by name.

BENCH ?= disk null fair store
BENCH_PROGRAMS := $(addprefix $(O)/build/bench/,blkbench pingpong storebench)

$(O)/build/bench/blkbench: $(OBJ)/bench/blkbench.o $(BLKFRONT) $(COMMON)
	$(call link,$^ $(FRONT_LIBS) -lm -Wl$(comma)-rpath$(comma)$(abspath $(O))/lib/usermode)
$(O)/build/bench/pingpong: $(OBJ)/bench/pingpong.o $(COMMON)
	$(call link,$^ -lm)
$(O)/build/bench/storebench: $(OBJ)/bench/storebench.o $(COMMON)
	$(call link,$^ -lxenstore -lm)

bench-programs: all $(BENCH_PROGRAMS)

bench: bench-programs
	@for name in $(BENCH); do RF_BIN='$(abspath $(O))/bin' RF_BENCH='$(abspath $(O))/build/bench' \
		bench/$$name.sh || exit 1; done

ifneq ($(filter bench,$(GOALS)),)
MISSING_BENCH := $(shell ./run missing build bench)
ifneq ($(strip $(MISSING_BENCH)),)
$(error These Debian packages are needed for the benchmarks: $(strip $(MISSING_BENCH)). Install them with: apt-get install $(strip $(MISSING_BENCH)), or ./run setup build bench)
endif
endif
