# What includes tests/crash/no_memory.h: malloc and its kin are bound to the ones there.
NO_MEMORY := $(shell grep -l no_memory.h tests/*/*.c)
$(patsubst tests/%.c,$(B)/tests/%,$(NO_MEMORY)): LDFLAGS_PRESET += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
