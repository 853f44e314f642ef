# Looks and habits, with Debian's clang tools. Neither is part of `make test`: they ask, a person decides.
#
#   make tidy                clang-tidy with .clang-tidy over src/ and cli/, minutes; FILES="a.c b.c" for some
#   make format              which of the tree's C files clang-format would lay out otherwise; changes nothing
#   make format FILES="…"    lays out these, in place

STYLE_FILES := $(sort $(shell find src cli include tests examples bench -name '*.[ch]'))
TIDY_FILES := $(sort $(shell find src cli -name '*.c'))

.PHONY: tidy format deps-style
deps-style:
	@scripts/deps.sh build style

#: make tidy           clang-tidy over src/ and cli/, or over FILES=
tidy: deps-style
	@printf '%s\n' $(or $(FILES),$(TIDY_FILES)) | \
	    xargs -P $$(nproc) -I{} clang-tidy --quiet {} -- $(filter-out -MMD -MP,$(ALL_CFLAGS))

#: make format         what clang-format would change; with FILES= it changes them
format: deps-style
ifdef FILES
	clang-format -i $(FILES)
else
	@for file in $(STYLE_FILES); do clang-format --dry-run -Werror $$file 2>/dev/null || echo $$file; done | \
	    tee /dev/stderr | wc -l | sed 's/$$/ of $(words $(STYLE_FILES)) files would be laid out otherwise/'
endif
