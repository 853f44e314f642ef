# What includes tests/crash/no_memory.h: malloc and its kin are bound to the ones there.
$(B)/tests/crash/memory $(B)/tests/crash/bus_memory $(B)/tests/crash/apps_memory $(B)/tests/crash/batch_memory \
$(B)/tests/crash/groups_memory: LDFLAGS_PRESET += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
