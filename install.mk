# `make install`, `make uninstall`, `make deb`; included by the Makefile.
#
# What is installed lies in $(prefix)/lib/ringfence as it lies in the build folder: bin/, and lib/usermode
# beside it. So programs find each other and the user-mode libraries as they do there, by their own
# place (RUNPATH, install_path()), nothing is linked again, and the whole can be moved. The commands on
# PATH are links to there. Those of the exercise, whose names are not ours to take, are not on PATH.

PREFIX ?= /usr/local
prefix ?= $(PREFIX)
bindir ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
libdir ?= $(prefix)/lib
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
docdir ?= $(prefix)/share/doc/ringfence
completionsdir ?= $(prefix)/share/bash-completion/completions
unitdir ?= $(prefix)/lib/systemd/system
# Where xl and administrators look, whatever the prefix is.
sysconfdir ?= /etc
DESTDIR ?=

pkglibdir := $(prefix)/lib/ringfence
LIBRINGFENCE := libringfence.so.$(VERSION)

# into FOLDER, FILES: as FILE:DESTINATION. Neither has blanks; only DESTDIR may.
into = $(foreach file,$(2),$(file):$(1)/$(notdir $(file)))

EXERCISE := service client tool_for_integrity
INSTALL_PROGRAMS := $(call into,$(pkglibdir)/bin,$(PROGRAMS)) \
	$(call into,$(pkglibdir)/examples,$(EXAMPLES)) \
	$(call into,$(sysconfdir)/xen/scripts,tools/xen/block-ringfence)
INSTALL_FILES := \
	$(call into,$(pkglibdir)/lib/usermode,$(filter $(O)/lib/usermode/%,$(LIBS))) \
	$(O)/lib/libringfence.so.0:$(libdir)/$(LIBRINGFENCE) \
	$(call into,$(libdir),$(O)/lib/libringfence.a) \
	$(call into,$(includedir)/ringfence,$(wildcard include/ringfence/*.h)) \
	$(call into,$(mandir)/man1,docs/man/ringfence.1) \
	$(call into,$(mandir)/man5,$(wildcard docs/man/*.5)) \
	$(call into,$(mandir)/man8,$(wildcard docs/man/*.8)) \
	$(call into,$(pkglibdir)/share/man/man1,$(EXERCISE:%=docs/man/%.1) docs/man/disk.1) \
	$(call into,$(completionsdir),$(wildcard tools/completions/*)) \
	$(call into,$(docdir),README.md LICENSE $(wildcard docs/*.md)) \
	$(call into,$(docdir)/protocol,$(wildcard docs/protocol/*.md)) \
	$(call into,$(docdir)/examples,$(wildcard examples/*.[ch])) \
	$(call into,$(docdir)/xen,$(filter-out %.service,$(wildcard tools/xen/*.*)))
# These name places of the installation; as they are they hold for /usr/local, or the build folder.
INSTALL_ADJUSTED := \
	$(call into,$(docdir)/examples,$(wildcard examples/*.cfg)) \
	$(call into,$(unitdir),$(wildcard tools/systemd/*.service tools/xen/*.service)) \
	$(call into,$(libdir)/pkgconfig,tools/ringfence.pc)
# TARGET:LINK
INSTALL_LINKS := \
	$(call into,$(bindir),$(pkglibdir)/bin/ringfence $(pkglibdir)/bin/ringfenced) \
	$(call into,$(sbindir),$(pkglibdir)/bin/blkback) \
	$(libdir)/$(LIBRINGFENCE):$(libdir)/libringfence.so.0 \
	$(libdir)/$(LIBRINGFENCE):$(libdir)/libringfence.so
# Nobody else has files in these; folders below come first. Configurations in the last one are kept.
OWN_FOLDERS := $(pkglibdir)/examples $(pkglibdir)/lib/usermode $(pkglibdir)/lib $(pkglibdir)/bin $(pkglibdir)/share/man/man1 \
	$(pkglibdir)/share/man $(pkglibdir)/share $(pkglibdir) $(includedir)/ringfence $(docdir)/protocol \
	$(docdir)/examples $(docdir)/xen $(docdir) $(sysconfdir)/ringfence

ADJUST := sed -e 's,/usr/local/bin\>,$(bindir),g' -e 's,/usr/local/sbin\>,$(sbindir),g' \
	-e 's,/usr/local/include\>,$(includedir),g' -e 's,/usr/local/lib/ringfence\>,$(pkglibdir),g' \
	-e 's,"bin/,"$(pkglibdir)/bin/,g' -e 's,"build/examples/,"$(pkglibdir)/examples/,g' \
	-e 's, examples/, $(docdir)/examples/,g' -e 's,/usr/local/lib$$,$(libdir),g' \
	-e 's,/etc/,$(sysconfdir)/,g' -e 's,@VERSION@,$(VERSION),g'

.PHONY: install install-only uninstall deb
install: all examples
	@$(MAKE) --no-print-directory install-only

# Without building anything.
install-only:
	@set -e; dest="$(DESTDIR)"; \
	put() { mkdir -p "$$(dirname "$$dest$$3")"; install -m "$$1" "$$2" "$$dest$$3"; }; \
	for pair in $(INSTALL_PROGRAMS); do put 755 "$${pair%%:*}" "$${pair#*:}"; done; \
	for pair in $(INSTALL_FILES); do put 644 "$${pair%%:*}" "$${pair#*:}"; done; \
	for pair in $(INSTALL_ADJUSTED); do put 644 /dev/null "$${pair#*:}"; \
		$(ADJUST) "$${pair%%:*}" >"$$dest$${pair#*:}"; done; \
	for pair in $(INSTALL_LINKS); do mkdir -p "$$(dirname "$$dest$${pair#*:}")"; \
		ln -srf "$$dest$${pair%%:*}" "$$dest$${pair#*:}"; done; \
	mkdir -p "$$dest$(sysconfdir)/ringfence"; \
	[ -n "$$dest" ] || ldconfig 2>/dev/null || true
	@echo 'installed below $(DESTDIR)$(prefix)'

uninstall:
	@set -e; dest="$(DESTDIR)"; \
	for pair in $(INSTALL_PROGRAMS) $(INSTALL_FILES) $(INSTALL_ADJUSTED) $(INSTALL_LINKS); do \
		rm -f "$$dest$${pair#*:}"; done; \
	for folder in $(OWN_FOLDERS); do \
		[ ! -d "$$dest$$folder" ] || rmdir --ignore-fail-on-non-empty "$$dest$$folder"; done; \
	[ -n "$$dest" ] || ldconfig 2>/dev/null || true
	@echo 'removed from $(DESTDIR)$(prefix)'

# ---- Debian packages, from a copy of the tree, with nothing but debian/rules to say how ----

DEB_DIR := $(O)/build/deb
DEB_SOURCE = $(DEB_DIR)/ringfence-$(VERSION)
# What .gitignore names, and where we build.
NOT_SOURCE := ./.git ./bin ./lib ./build ./bench/out ./disk1.img ./sectors.[0-9]* ./read.[0-9]* \
	$(patsubst $(CURDIR)/%,./%,$(filter-out $(CURDIR),$(abspath $(O))))

ifneq ($(filter deb,$(GOALS)),)
MISSING_DEB := $(filter dpkg-dev debhelper fakeroot,$(shell ./run missing test))
ifneq ($(strip $(MISSING_DEB)),)
$(error These Debian packages are needed for that: $(strip $(MISSING_DEB)). Install them with: apt-get install $(strip $(MISSING_DEB)), or ./run setup)
endif
endif

deb:
	@rm -rf $(DEB_DIR) && mkdir -p $(DEB_SOURCE)
	@tar -c --anchored $(NOT_SOURCE:%='--exclude=%') . | tar -x -C $(DEB_SOURCE)
	cd $(DEB_SOURCE) && env -i PATH="$$PATH" HOME="$(abspath $(DEB_DIR))" LC_ALL=C.UTF-8 \
		dpkg-buildpackage -b -us -uc -j"$$(getconf _NPROCESSORS_ONLN)"
	@rm -rf $(DEB_SOURCE)
	@ls $(DEB_DIR)/*.deb
