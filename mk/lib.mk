# libcairn, static and shared; pkg-config; install. The names it exports are exactly the functions that
# include/cairn/*.h declares with CAIRN_API.
#
#   make lib                        build/libcairn.a, build/libcairn.so.VERSION and its links
#   make install PREFIX=/usr/local  also DESTDIR= for packagers; make uninstall takes it away again

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
FISH_COMPLETIONS ?= $(PREFIX)/share/fish/vendor_completions.d
INSTALL ?= install
OBJCOPY ?= objcopy

SONAME := libcairn.so.0
LIB_A := $(B)/libcairn.a
LIB_SO := $(B)/libcairn.so.$(VERSION)
LIB_NAMES := $(B)/lib/public-names
LIB_MAP := $(B)/lib/libcairn.map
PUBLIC_HEADERS := $(wildcard include/cairn/*.h)
# What a program linked with libcairn.a needs besides, in pkg-config's words and in the linker's.
LIB_REQUIRES := libxxhash libzstd liblz4 snappy zlib libcrypto lua5.4 sqlite3 libfyaml libpcre2-8
LIB_PRIVATE := $(ENGINE_LIBS) -pthread

.PHONY: lib install uninstall
lib: $(LIB_A) $(LIB_SO) $(B)/libcairn.so

# Comments away, lines joined, then the first cairn_name( of every declaration that begins with CAIRN_API.
$(LIB_NAMES): $(PUBLIC_HEADERS) mk/lib.mk
	@mkdir -p $(@D)
	$(call step,NAMES,$@)
	for h in $(PUBLIC_HEADERS); do $(CC) -w -fpreprocessed -dD -E -P $$h; done | grep -v '^ *#' | tr '\n' ' ' | \
	    grep -o 'CAIRN_API [^;]*;' | sed -n 's/^[^(]*[ *]\(cairn_[a-z0-9_]*\)(.*/\1/p' | LC_ALL=C sort -u > $@.tmp
	@test -s $@.tmp
	mv $@.tmp $@

# CAIRN_MUST_CHECK and the attributes hold no parenthesis before the name, so the sed above stops at the
# right one; this says so should that change: every line with CAIRN_API must have given a name.
.PHONY: check-names
check-names: $(LIB_NAMES)
	test $$(grep -h '^CAIRN_API' $(PUBLIC_HEADERS) | wc -l) -eq $$(wc -l < $(LIB_NAMES))

# One object of all rooms: calls between rooms are bound here, and everything but the public names becomes
# local, so that an embedding program can never clash with ours.
$(B)/lib/cairn.o: $(ENGINE_A) $(LIB_NAMES)
	$(call step,LD,$@)
	$(LD) -r -o $@.tmp --whole-archive $(ENGINE_A)
	$(OBJCOPY) --keep-global-symbols=$(LIB_NAMES) $@.tmp
	mv $@.tmp $@

$(LIB_A): $(B)/lib/cairn.o
	@rm -f $@
	$(call step,AR,$@)
	$(AR) rcs $@ $<

$(LIB_MAP): $(LIB_NAMES)
	{ echo 'CAIRN_0 {'; echo '  global:'; sed 's/$$/;/' $<; echo '  local: *;'; echo '};'; } > $@

# The same names for the linker of the program.
$(B)/lib/cairn.list: $(LIB_NAMES)
	{ echo '{'; sed 's/$$/;/' $<; echo '};'; } > $@

$(LIB_SO): $(ENGINE_A) $(LIB_MAP)
	$(call step,LINK,$@)
	$(CC) -shared -o $@ $(LDFLAGS_PRESET) -Wl,-soname,$(SONAME) -Wl,--version-script=$(LIB_MAP) \
	    $(if $(filter release,$(PRESET)),-Wl$(comma)-z$(comma)defs) \
	    -Wl,--whole-archive $(ENGINE_A) -Wl,--no-whole-archive -Wl,--as-needed $(ENGINE_LIBS)

$(B)/libcairn.so: $(LIB_SO)
	ln -sf $(notdir $(LIB_SO)) $(B)/$(SONAME)
	ln -sf $(SONAME) $@

comma := ,

define CAIRN_PC
prefix=$(PREFIX)
libdir=$(LIBDIR)
includedir=$(INCLUDEDIR)

Name: cairn
Description: Event store in a library
Version: $(VERSION)
Requires.private: $(LIB_REQUIRES)
Libs: -L$${libdir} -lcairn
Libs.private: $(LIB_PRIVATE)
Cflags: -I$${includedir}
endef
export CAIRN_PC

# The program, the manual page and the completions belong to other makefiles; what is there is installed.
define install_if
	@if [ -e '$(2)' ]; then $(INSTALL) -D -m $(1) '$(2)' '$(DESTDIR)$(3)' && echo 'installed $(DESTDIR)$(3)'; fi
endef

install: lib
	$(INSTALL) -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(INCLUDEDIR)/cairn'
	$(INSTALL) -m 644 $(LIB_A) '$(DESTDIR)$(LIBDIR)/'
	$(INSTALL) -m 755 $(LIB_SO) '$(DESTDIR)$(LIBDIR)/'
	ln -sf $(notdir $(LIB_SO)) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libcairn.so'
	$(INSTALL) -m 644 $(PUBLIC_HEADERS) '$(DESTDIR)$(INCLUDEDIR)/cairn/'
	printf '%s\n' "$$CAIRN_PC" > '$(DESTDIR)$(LIBDIR)/pkgconfig/cairn.pc'
	$(call install_if,755,$(B)/cairn,$(BINDIR)/cairn)
	$(call install_if,644,docs/cairn.1,$(MANDIR)/man1/cairn.1)
	$(call install_if,644,cli/completions/cairn.bash,$(BASH_COMPLETIONS)/cairn)
	$(call install_if,644,cli/completions/_cairn,$(ZSH_COMPLETIONS)/_cairn)
	$(call install_if,644,cli/completions/cairn.fish,$(FISH_COMPLETIONS)/cairn.fish)

uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/cairn' '$(DESTDIR)$(MANDIR)/man1/cairn.1' \
	    '$(DESTDIR)$(BASH_COMPLETIONS)/cairn' '$(DESTDIR)$(ZSH_COMPLETIONS)/_cairn' \
	    '$(DESTDIR)$(FISH_COMPLETIONS)/cairn.fish' '$(DESTDIR)$(LIBDIR)/pkgconfig/cairn.pc' \
	    '$(DESTDIR)$(LIBDIR)/libcairn.a' '$(DESTDIR)$(LIBDIR)/libcairn.so' \
	    '$(DESTDIR)$(LIBDIR)/$(SONAME)' '$(DESTDIR)$(LIBDIR)/$(notdir $(LIB_SO))'
	rm -rf '$(DESTDIR)$(INCLUDEDIR)/cairn'
