# tests/crash/memory.c, bus_memory.c and apps_memory.c make allocations fail: in these programs malloc and its kin are bound to the test's own.
$(B)/tests/crash/memory $(B)/tests/crash/bus_memory $(B)/tests/crash/apps_memory: LDFLAGS_PRESET += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
