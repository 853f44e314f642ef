# Objects, one library per room, test programs.

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call step,CC,$<)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

define room_rule
$(call room_lib,$(1)): $(call src_obj,$(call room_src,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call step,AR,$$@)
	$(AR) rcs $$@ $$^
endef
$(foreach r,$(ROOMS),$(eval $(call room_rule,$(r))))

# A test program is one file: tests/<layer>/<name>.c → $(B)/tests/<layer>/<name>. Every room is linked; the
# linker takes what is used.
$(B)/tests/%: $(B)/obj/tests/%.o $(SERVER_A) $(ENGINE_A)
	@mkdir -p $(@D)
	$(call step,LINK,$@)
	$(CC) $(LDFLAGS_PRESET) -o $@ $< $(TEST_OBJECTS) -Wl,--start-group $(SERVER_A) $(ENGINE_A) -Wl,--end-group -lcmocka $(SERVER_LIBS)

.SECONDARY:
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
