#: make test-unit      one layer alone; likewise property, crash, sim, fuzz, integration, interop, browser
#: make test-asan      unit, property, crash, fuzz and integration under ASan and UBSan; test-tsan: under TSan
#: make soak           the random tests again with much more work
#: make fuzz           every fuzzer under libFuzzer for FUZZ_SECONDS (60) each; needs clang

LAYERS := unit property crash sim fuzz integration
layer_programs = $(patsubst tests/%.c,$(B)/tests/%,$(filter-out tests/fuzz/driver.c,$(wildcard tests/$(1)/*.c)))
# PROGRAMS_OF: the layers whose programs are wanted
TEST_PROGRAMS := $(foreach l,$(or $(PROGRAMS_OF),$(LAYERS)),$(call layer_programs,$(l)))

.PHONY: interop test test-programs test-asan test-tsan soak fuzz $(addprefix test-,$(LAYERS) interop browser)

test-programs: $(TEST_PROGRAMS)

# What a newcomer runs, and CI: every layer, then the same under the sanitizers. Left out there: what takes minutes under ASan and
# plays the same without it (`make test-asan` has it); what is about plain builds, other people's compilers, clients or real data: the
# library's installation, TypeScript, npm's clients, loans, the README; storms and kills of whole servers, which are a matter of speed.
# ThreadSanitizer has nothing to say where there is one thread (what takes a second or more of that is named here), nor about the
# command line's own work, which takes it three minutes, and it does not know how librdkafka's threads begin.
LEFT_OUT := asan/crash/kafka_storm asan/crash/kafka_storm_new asan/crash/kafka_kill9 \
            asan/crash/syscalls asan/crash/flip asan/crash/copies asan/crash/powercut asan/crash/topics \
            tsan/integration/cli tsan/integration/migrate \
            asan/integration/library tsan/integration/library \
            $(foreach p,asan tsan,$(foreach t,typescript starter_typescript loans docs_readme,$(p)/integration/$(t))) \
            $(foreach p,asan tsan,$(foreach t,kafka_npm registry_npm cli_topics relay dead_letters,$(p)/integration/$(t))) \
            tsan/integration/kafka_kcat tsan/integration/kafka_rdkafka tsan/integration/kafka_clean tsan/integration/relay_faults \
            $(foreach t,lua_hostile lua_strings lua_types lua_values query_hostile sql_hostile json_schema json_suite base_json \
                log_batches log_thinned log_recover log_sweep log_hidden log_sequenced log_thin_cost log_partition_reads \
                topics broker_transactions broker_produce broker_settings groups_consumer \
                avro protobuf kafka_codec series snapshot openapi query_run os_sim_cut,tsan/unit/$(t)) \
            $(foreach t,avro_resolve batch_roundtrip kafka_messages series_model topics_model schema_compat json_roundtrip \
                groups_storm,tsan/property/$(t))
TSAN_LAYERS := unit property integration
test: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) build test-programs
	@$(MAKE) --no-print-directory -j$$(nproc) PRESET=asan build test-programs
	@$(MAKE) --no-print-directory -j$$(nproc) PRESET=tsan PROGRAMS_OF="$(TSAN_LAYERS)" build test-programs
	@TEST_LEAVE_OUT="$(LEFT_OUT)" tests/run.sh release:$(subst $() $(),$(comma),$(LAYERS)),browser \
	    asan:unit,property,crash,fuzz,integration tsan:$(subst $() $(),$(comma),$(TSAN_LAYERS))

test-asan: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) PRESET=asan build test-programs
	@TEST_LEAVE_OUT=asan/integration/library tests/run.sh asan:unit,property,crash,fuzz,integration

test-tsan: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) PRESET=tsan PROGRAMS_OF="$(TSAN_LAYERS)" build test-programs
	@TEST_LEAVE_OUT=tsan/integration/library tests/run.sh tsan:$(subst $() $(),$(comma),$(TSAN_LAYERS))

$(addprefix test-,$(LAYERS)): test-%: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) build test-programs
	@B=$(B) tests/run.sh release:$*

soak: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) build test-programs
	@TEST_SCALE=$${TEST_SCALE:-50} TEST_TIMEOUT=7200 tests/run.sh release:property,crash,sim,fuzz

#: make interop        Kafka's own programs against Cairn: librdkafka's tests, the Java client and its tools, relays to a real Kafka
interop: test-interop
# What proves Cairn with clients that need a registry besides Debian's. librdkafka's tests alone take a quarter of an hour.
test-interop: export TEST_TIMEOUT := 5400
test-interop test-browser: test-%: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) build
	@B=$(B) tests/run.sh release:$*

# Fuzz targets have no main: the driver replays the corpus and mutates it.
FUZZ_TARGETS := $(filter-out $(B)/tests/fuzz/driver,$(call layer_programs,fuzz))
ifneq ($(PRESET),fuzz)
$(FUZZ_TARGETS): $(B)/obj/tests/fuzz/driver.o
$(FUZZ_TARGETS): TEST_OBJECTS = $(B)/obj/tests/fuzz/driver.o
else
$(FUZZ_TARGETS): LDFLAGS_PRESET += -fsanitize=fuzzer
endif
fuzz-programs: $(FUZZ_TARGETS)

FUZZ_SECONDS ?= 60
fuzz:
	@$(MAKE) --no-print-directory -j$$(nproc) PRESET=fuzz fuzz-programs
	@set -e; for f in build/fuzz/tests/fuzz/fuzz_*; do [ -x $$f ] || continue; \
	    name=$$(basename $$f); mkdir -p build/fuzz/found/$$name; echo "$$name"; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 build/fuzz/found/$$name \
	    tests/fuzz/corpus/$${name#fuzz_} 2>build/fuzz/$$name.log || { tail -40 build/fuzz/$$name.log; exit 1; }; \
	    grep -E 'stat::number_of_executed_units' build/fuzz/$$name.log; done
