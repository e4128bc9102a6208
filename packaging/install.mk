# `make install` and `make uninstall`, by the GNU coding standards: PREFIX (or any of the folders below) says where,
# DESTDIR what stands before it while a package is made. Nothing is started or enabled.
PREFIX ?= /usr/local
prefix ?= $(PREFIX)
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
sbindir ?= $(exec_prefix)/sbin
datarootdir ?= $(prefix)/share
mandir ?= $(datarootdir)/man
docdir ?= $(datarootdir)/doc/vpcctl
# What belongs to the machine is below /etc, wherever the programs are: the daemon looks for it there.
sysconfdir ?= /etc
# systemd looks below these prefixes, and nowhere else but in /etc.
systemddir ?= $(if $(filter /usr /usr/local,$(prefix)),$(prefix)/lib,/etc)
unitdir ?= $(systemddir)/systemd/system
sysusersdir ?= $(systemddir)/sysusers.d
bashcompletiondir ?= $(datarootdir)/bash-completion/completions
zshcompletiondir ?= $(datarootdir)/zsh/$(if $(filter /usr,$(prefix)),vendor-completions,site-functions)
fishcompletiondir ?= $(datarootdir)/fish/vendor_completions.d

INSTALL ?= install
INSTALL_PROGRAM ?= $(INSTALL) -m 755
INSTALL_DATA ?= $(INSTALL) -m 644

PROGRAMS = vpcctl vpclab vpcd vpcgw
RELEASE = .build/release
SHARE = .build/share
PAGES = vpcctl.1 vpclab.1 vpcd.8 vpcgw.8 vpcd.yaml.5
GENERATED = $(PAGES:%=$(SHARE)/%) $(PROGRAMS:%=$(SHARE)/%.bash) $(PROGRAMS:%=$(SHARE)/_%) $(PROGRAMS:%=$(SHARE)/%.fish)
DOCUMENTS = README.md CHANGELOG.md $(wildcard docs/*.md docs/*.json)
EXAMPLES = $(wildcard Examples/*.yaml)
# The date of the manual pages and of everything in the package.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
PAGE_DATE = $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%Y-%m-%d)
PAGE_TITLE_DATE = $(shell LC_ALL=C date -u -d @$(SOURCE_DATE_EPOCH) '+%B %-d, %Y')
FOLDERS = -e 's|@docdir@|$(docdir)|' -e 's|@sysconfdir@|$(sysconfdir)|' -e 's|@sbindir@|$(sbindir)|' \
	-e 's|@date@|$(PAGE_TITLE_DATE)|'

.PHONY: share install uninstall

# Built only where it is missing: `sudo make install` after `make build` compiles nothing.
$(PROGRAMS:%=$(RELEASE)/%):
	$(MAKE) build

share: $(GENERATED) ## manual pages and shell completions: .build/share

$(SHARE)/vpcctl.1 $(SHARE)/vpclab.1: $(SHARE)/%.1: $(RELEASE)/% packaging/manual.py packaging/man/%.1.rest
	@mkdir -p $(@D)
	python3 packaging/manual.py $< 1 packaging/man/$*.1.rest $(PAGE_DATE) >$@.new && mv $@.new $@

$(SHARE)/vpcd.8 $(SHARE)/vpcgw.8: $(SHARE)/%.8: $(RELEASE)/% packaging/manual.py packaging/man/%.8.rest
	@mkdir -p $(@D)
	python3 packaging/manual.py $< 8 packaging/man/$*.8.rest $(PAGE_DATE) >$@.new && mv $@.new $@

$(SHARE)/vpcd.yaml.5: packaging/man/vpcd.yaml.5
	@mkdir -p $(@D)
	cp $< $@

$(SHARE)/%.bash: $(RELEASE)/%
	@mkdir -p $(@D)
# It is sourced, not run.
	$< --generate-completion-script bash | sed '1{/^#!/d}' >$@.new && mv $@.new $@

$(SHARE)/_%: $(RELEASE)/%
	@mkdir -p $(@D)
	$< --generate-completion-script zsh >$@.new && mv $@.new $@

$(SHARE)/%.fish: $(RELEASE)/%
	@mkdir -p $(@D)
	$< --generate-completion-script fish >$@.new && mv $@.new $@

install: $(PROGRAMS:%=$(RELEASE)/%) $(GENERATED) ## into PREFIX (/usr/local), below DESTDIR if that is set
	$(INSTALL) -d $(DESTDIR)$(bindir) $(DESTDIR)$(sbindir)
	$(INSTALL_PROGRAM) $(RELEASE)/vpcctl $(RELEASE)/vpclab $(DESTDIR)$(bindir)/
	$(INSTALL_PROGRAM) $(RELEASE)/vpcd $(RELEASE)/vpcgw $(DESTDIR)$(sbindir)/
	$(INSTALL) -d $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(mandir)/man5 $(DESTDIR)$(mandir)/man8
	for page in $(PAGES); do \
		sed $(FOLDERS) $(SHARE)/$$page >$(SHARE)/page && \
		$(INSTALL_DATA) $(SHARE)/page $(DESTDIR)$(mandir)/man$${page##*.}/$$page || exit 1; \
	done
	$(INSTALL) -d $(DESTDIR)$(bashcompletiondir) $(DESTDIR)$(zshcompletiondir) $(DESTDIR)$(fishcompletiondir)
	for program in $(PROGRAMS); do \
		$(INSTALL_DATA) $(SHARE)/$$program.bash $(DESTDIR)$(bashcompletiondir)/$$program && \
		$(INSTALL_DATA) $(SHARE)/_$$program $(DESTDIR)$(zshcompletiondir)/_$$program && \
		$(INSTALL_DATA) $(SHARE)/$$program.fish $(DESTDIR)$(fishcompletiondir)/$$program.fish || exit 1; \
	done
	$(INSTALL) -d $(DESTDIR)$(docdir)/examples
	$(INSTALL_DATA) $(DOCUMENTS) $(DESTDIR)$(docdir)/
	$(INSTALL_DATA) $(EXAMPLES) $(DESTDIR)$(docdir)/examples/
	$(INSTALL) -d $(DESTDIR)$(unitdir) $(DESTDIR)$(sysusersdir) $(DESTDIR)$(sysconfdir)/vpcctl
	for unit in vpcd vpcgw vpc-lb@; do \
		sed -e 's|/usr/sbin/|$(sbindir)/|' -e 's|/etc/vpcctl|$(sysconfdir)/vpcctl|' packaging/$$unit.service \
			>$(SHARE)/unit && \
		$(INSTALL_DATA) $(SHARE)/unit $(DESTDIR)$(unitdir)/$$unit.service || exit 1; \
	done
	$(INSTALL_DATA) packaging/vpcctl.sysusers $(DESTDIR)$(sysusersdir)/vpcctl.conf
# Never over what somebody has written.
	test -e $(DESTDIR)$(sysconfdir)/vpcctl/vpcd.yaml || \
		$(INSTALL_DATA) packaging/vpcd.yaml $(DESTDIR)$(sysconfdir)/vpcctl/vpcd.yaml

uninstall: ## takes away what install put there; configuration, revisions and kernel objects stay
	rm -f $(addprefix $(DESTDIR)$(bindir)/,vpcctl vpclab) $(addprefix $(DESTDIR)$(sbindir)/,vpcd vpcgw)
	rm -f $(foreach page,$(PAGES),$(DESTDIR)$(mandir)/man$(lastword $(subst ., ,$(page)))/$(page))
	rm -f $(PROGRAMS:%=$(DESTDIR)$(bashcompletiondir)/%) $(PROGRAMS:%=$(DESTDIR)$(zshcompletiondir)/_%) \
		$(PROGRAMS:%=$(DESTDIR)$(fishcompletiondir)/%.fish)
	rm -f $(addprefix $(DESTDIR)$(unitdir)/,vpcd.service vpcgw.service vpc-lb@.service) \
		$(DESTDIR)$(sysusersdir)/vpcctl.conf
	rm -rf $(DESTDIR)$(docdir)
