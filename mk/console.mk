# The console: console/ built by npm and Vite, then put into proto/http's library as one object (scripts/console-embed.sh).
# It is the same for every preset and every B, so it is built once, in build/console.
#
#   make console        build it again where something has changed; a part of `make build`
#   make console-check  its types and its unit tests

CONSOLE := build/console
CONSOLE_SRC := $(shell find console -type f ! -path 'console/node_modules/*' ! -path 'console/test/*' ! -path 'console/mock/*' ! -name '*.md')
# Without npm there is none; every build tries again.
CONSOLE_AGAIN := $(if $(wildcard $(CONSOLE)/dist/.missing),console-again)

.PHONY: console console-again console-check
console: $(CONSOLE)/files.o

$(CONSOLE)/built: $(CONSOLE_SRC) $(CONSOLE_AGAIN) scripts/console.sh scripts/node.sh mk/console.mk
	@mkdir -p $(@D)
	$(call step,VITE,console)
	scripts/console.sh $(CONSOLE)/dist
	@cd $(CONSOLE) && find dist -type f -exec sha256sum {} + | sort > $(@F).tmp
	@if cmp -s $@.tmp $@ && [ -n '$(CONSOLE_AGAIN)' ]; then rm $@.tmp; else mv $@.tmp $@; fi

$(CONSOLE)/files.S: $(CONSOLE)/built scripts/console-embed.sh
	scripts/console-embed.sh $(CONSOLE)/dist $@

$(CONSOLE)/files.o: $(CONSOLE)/files.S
	$(call step,AS,$@)
	$(CC) -c -o $@ $<

$(call room_lib,proto/http): $(CONSOLE)/files.o

console-check: $(CONSOLE)/files.o
	@cd console && "$$(../scripts/node.sh)" node_modules/typescript/bin/tsc --noEmit && "$$(../scripts/node.sh)" test/run.mjs
