# tests/crash/memory.c makes allocations fail: in that program malloc and its kin are bound to the test's own.
$(B)/tests/crash/memory: LDFLAGS_PRESET += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
