# `make bench`: Cairn beside its peers, on this machine, in one run. bench/README.md tells how to read it.
#   make bench                 everything: 40 minutes, 25 GB of disk
#   make bench QUICK=1         five minutes
#   make bench PART=append     append, log, http, commands, apps, projections, kafka or ceilings; several with commas
#   make bench UMADB=no        without the peer that has to be compiled; EMMETT=no without the other one
# The benchmark includes only the public headers, as any embedding program would. `make bench-series` is
# another thing: the index room alone, from within; so is $(B)/bench/bus, the command bus.

BENCH_SRC := $(filter-out bench/series_bench.c bench/bus_bench.c,$(wildcard bench/*.c))
BENCH_OBJ := $(patsubst bench/%.c,$(B)/obj/bench/%.o,$(BENCH_SRC))
BENCH_CFLAGS = -std=gnu17 -D_GNU_SOURCE -Iinclude -fno-strict-aliasing -pthread $(WARN) -MMD -MP \
               $(OPT_$(PRESET)) $(CFLAGS) $(shell pkg-config --cflags libpq hiredis sqlite3 2>/dev/null)

$(BENCH_OBJ): $(B)/obj/bench/%.o: bench/%.c mk/bench.mk
	@mkdir -p $(@D)
	$(call step,CC,$<)
	$(CC) $(BENCH_CFLAGS) -c -o $@ $<

$(B)/bench/bench: $(BENCH_OBJ) $(ENGINE_A)
	@mkdir -p $(@D)
	$(call step,LINK,$@)
	$(CC) $(LDFLAGS_PRESET) -o $@ $(BENCH_OBJ) -Wl,--start-group $(ENGINE_A) -Wl,--end-group \
	    -lpq -lhiredis -lsqlite3 -lrdkafka $(ENGINE_LIBS)

$(B)/bench/series: $(B)/obj/bench/series_bench.o $(ENGINE_A)
	@mkdir -p $(@D)
	$(call step,LINK,$@)
	$(CC) $(LDFLAGS_PRESET) -o $@ $< -Wl,--start-group $(ENGINE_A) -Wl,--end-group $(ENGINE_LIBS)

$(B)/bench/bus: $(B)/obj/bench/bus_bench.o $(ENGINE_A)
	@mkdir -p $(@D)
	$(call step,LINK,$@)
	$(CC) $(LDFLAGS_PRESET) -o $@ $< -Wl,--start-group $(ENGINE_A) -Wl,--end-group $(ENGINE_LIBS)

.PHONY: bench bench-series
bench:
	B=$(B) bench/run.sh $(if $(QUICK),--quick) $(if $(PART),--part $(PART)) $(BENCH_ARGS)
bench-series: $(B)/bench/series
	$<
