# The `cairn` command: cli/*.c on all rooms, and the libraries that only it needs.

CLI_LIBS := -lcurl -lexpat -lz
CLI_OBJ := $(call src_obj,$(wildcard cli/*.c))
CLI_A := $(B)/lib/libcli.a

$(CLI_A): $(filter-out $(B)/obj/cli/main.o,$(CLI_OBJ))
	@mkdir -p $(@D)
	@rm -f $@
	$(call step,AR,$@)
	$(AR) rcs $@ $^

$(B)/cairn: $(B)/obj/cli/main.o $(CLI_A) $(SERVER_A) $(ENGINE_A)
	$(call step,LINK,$@)
	$(CC) -rdynamic $(LDFLAGS_PRESET) -o $@ $< -Wl,--start-group $(CLI_A) $(SERVER_A) $(ENGINE_A) -Wl,--end-group $(CLI_LIBS) $(SERVER_LIBS)

# Tests and fuzzers of what is in cli/: its objects among the rooms, its libraries among theirs.
CLI_TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/unit/import_*.c tests/unit/cli_*.c)) \
             $(B)/tests/fuzz/fuzz_csv $(B)/tests/fuzz/fuzz_xes
$(CLI_TESTS): $(CLI_A)
$(CLI_TESTS): private SERVER_A := $(CLI_A) $(SERVER_A)
$(CLI_TESTS): private SERVER_LIBS := $(CLI_LIBS) $(SERVER_LIBS)

# What is made from the command table and kept in the tree, so that packages need not run the program.
.PHONY: cli-texts
cli-texts: $(B)/cairn
	$(B)/cairn help --man > docs/cairn.1
	$(B)/cairn completion bash > cli/completions/cairn.bash
	$(B)/cairn completion zsh > cli/completions/_cairn
	$(B)/cairn completion fish > cli/completions/cairn.fish
