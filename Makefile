# `make` lists the targets.
KERNEL ?= 6.1
FILTER ?= $(VPCCTL_TEST_FILTER)
CMD ?= true
# To the scripts as they are, whatever characters they have.
export KERNEL FILTER CMD SIZES ROUNDS QUICK CASES SEED
SHELL_SCRIPTS = $(wildcard scripts/*.sh packaging/*.sh packaging/debian/p*inst packaging/debian/p*rm) .ci/run

.PHONY: help setup build test lint format campaign fuzz demo bench bench-docs bench-guard guard-record lab deb test-deb clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## install what is missing to build and test (Debian; not Swift itself)
	@scripts/setup.sh

build: ## release build: .build/release/vpcctl and its companions, which need no Swift on the machine they run on
	swift build -c release --static-swift-stdlib -Xlinker -z -Xlinker now

test: setup lint ## all tests; KERNEL=6.12 or KERNEL="6.1 6.12" for other kernels, FILTER=regex for some
	@VPCCTL_TEST_FILTER="$$FILTER" scripts/test.sh

lint: ## check style
	@scripts/lint.sh $(SHELL_SCRIPTS)

format: ## bring Swift sources into style
	swift format --in-place --recursive Sources Tests Benchmarks/Sources Package.swift

campaign: setup ## ten thousand drawn connections, what becomes of them beside what trace says; CASES=100 for less (hours)
	@scripts/campaign.sh

fuzz: setup ## random requests to the daemon's API, judged by its document (schemathesis, from PyPI)
	@scripts/api-fuzz.sh

demo: setup build ## the demonstration, in the lab
	@scripts/demo.sh

bench: setup ## all measurements; bench-NAME for one, SIZES=10k ROUNDS=3 or QUICK=1 for less (Benchmarks/run.py)
	@scripts/bench.sh

bench-%: setup
	@scripts/bench.sh $*

bench-guard: setup ## counts that are the same on any machine, compared with the record; `make test` has the quick ones
	@scripts/setup.sh valgrind
	@scripts/guard.sh

guard-record: setup ## makes what is counted now the record, Benchmarks/guard.json
	@scripts/setup.sh valgrind
	@scripts/guard.sh --record

bench-docs: ## docs/benchmarks.md from the results in Benchmarks/results
	@python3 Benchmarks/run.py --page docs/benchmarks.md

lab: setup ## run a command on a kernel with GRE and VRF: make lab CMD='ip link'
	@scripts/lab.sh -- bash -c "$$CMD"

deb: build share ## a package for Debian 12: .build/deb/vpcctl_*.deb
	@scripts/setup.sh debhelper lintian chrpath
	@scripts/deb.sh

test-deb: deb ## installs, upgrades, removes and purges the package in a clean Debian 12
	@scripts/setup.sh debootstrap
	@scripts/test-deb.sh

include packaging/install.mk

clean: ## remove what was built (kernels stay in the cache folder)
	rm -rf .build .lab
