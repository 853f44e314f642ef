# Cairn. `make run` and `make test` are all a newcomer needs; `make help` lists the rest.
#
# One static library per folder of src/. PRESET chooses how to compile:
#   release (default)  asan  tsan  fuzz (clang, libFuzzer)  cov
# Products: build/ for release, build/PRESET/ for the others. B=DIR overrides.

PRESET ?= release
B ?= $(if $(filter release,$(PRESET)),build,build/$(PRESET))

VERSION := 0.1.0
CC ?= gcc
AR ?= ar
PKG := libuv libnghttp2 openssl libfyaml libzstd liblz4 snappy zlib libxxhash lua5.4 sqlite3 libpcre2-8

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
        -Wpointer-arith -Wwrite-strings -Wformat=2 -Wno-format-nonliteral
BASE_CFLAGS := -std=gnu17 -D_GNU_SOURCE -DCAIRN_VERSION='"$(VERSION)"' -Iinclude -Isrc -Itests -fPIC \
               -fvisibility=hidden -fno-strict-aliasing -pthread $(WARN) -MMD -MP
OPT_release := -O2 -g
OPT_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT_fuzz    := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_cov     := -O0 -g --coverage
ifeq ($(PRESET),fuzz)
CC := clang
endif
CFLAGS ?=
ALL_CFLAGS := $(BASE_CFLAGS) $(OPT_$(PRESET)) $(CFLAGS) $(shell pkg-config --cflags $(PKG) 2>/dev/null)
LDFLAGS_PRESET = $(OPT_$(PRESET)) -pthread
ENGINE_LIBS := -lsqlite3 -llua5.4 -lfyaml -lpcre2-8 -ldl -lxxhash -lzstd -llz4 -lsnappy -lz -lcrypto -lm
SERVER_LIBS := -luv -lnghttp2 -lrdkafka -lssl -lcurl $(ENGINE_LIBS)

# Rooms, lowest first: a room may include only those before it (tests/arrows.sh checks).
ENGINE_ROOMS := base batch os log store schema topic app/lua app/sql app
SERVER_ROOMS := os/net bus proto/http proto/kafka server
ROOMS := $(ENGINE_ROOMS) $(SERVER_ROOMS)

room_src = $(wildcard src/$(1)/*.c)
room_lib = $(B)/lib/lib$(subst /,-,$(1)).a
src_obj  = $(patsubst %.c,$(B)/obj/%.o,$(1))

ENGINE_A := $(foreach r,$(ENGINE_ROOMS),$(call room_lib,$(r)))
SERVER_A := $(foreach r,$(SERVER_ROOMS),$(call room_lib,$(r)))

# One short line a step; V=1 shows the commands.
ifndef V
.SILENT:
endif
step = @printf '  %-5s %s\n' $(1) $(2)

.DEFAULT_GOAL := help
.PHONY: help build run clean deps deps-test
help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)

#: make run            install what is missing, build, start the server, import a history
#: make test           install what is missing, build, run every test
#: V=1                 with any of these: show the commands
#: make build          build/cairn and the library; needs what `make deps` installs
build: $(B)/cairn lib

run: deps
	@$(MAKE) --no-print-directory -j$$(nproc) build
	@scripts/run.sh

deps:
	@scripts/deps.sh build
deps-test:
	@scripts/deps.sh build test

clean:
	rm -rf build

include $(wildcard mk/*.mk)
