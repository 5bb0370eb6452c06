# Everything a person or the CI runs. `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Debian packages and the virtual environment are set up once for each state of their lists.
PACKAGES := $(VENV)/.packages
GUESTS := $(VENV)/.guests
DEPENDENCIES := $(VENV)/.dependencies
INSTALLED := $(VENV)/.installed
SIDE_BY_SIDE := tests/bpf/test_differential.py tests/bpf/test_tracked.py tests/netns/test_sieve.py tests/netns/test_sieve_fronted.py
SOURCES := $(shell git ls-files --cached --others --exclude-standard -- src bpf extensions meson.build pyproject.toml 2>/dev/null)

.PHONY: help setup build fmt check test test-fast soak test-kernels demo demo-clean bench schemas packaging clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: build  ## Debian packages, virtual environment, extension, BPF objects; leaves .venv/bin/tortie

$(PACKAGES): requirements/debian.txt
	@mkdir -p $(VENV)
	@missing=$$(sed 's/#.*//' $< | xargs -n1 sh -c 'dpkg-query -W -f="\$${Status}" "$$0" 2>/dev/null | grep -q "ok installed" || echo "$$0"'); \
	if [ -n "$$missing" ]; then echo "installing Debian packages: $$missing" >&2; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi
	@touch $@

# Without these, tests of other kernels are skipped, and say so.
$(GUESTS): requirements/debian-kernels.txt $(PACKAGES)
	@missing=$$(sed 's/#.*//' $< | xargs -n1 sh -c 'dpkg-query -W -f="\$${Status}" "$$0" 2>/dev/null | grep -q "ok installed" || echo "$$0"'); \
	if [ -n "$$missing" ]; then echo "installing Debian packages: $$missing" >&2; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } || \
	  { echo "cannot be installed: $$missing; other kernels will not be tested" >&2; exit 0; }; fi; \
	touch $@

$(DEPENDENCIES): requirements/dev.lock $(PACKAGES)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

$(INSTALLED): $(DEPENDENCIES) $(SOURCES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall --config-settings=build-dir=build/meson .
	@touch $@

build: $(INSTALLED)  ## compile and install into the virtual environment

fmt: $(DEPENDENCIES)  ## format
	$(BIN)/ruff format src tests extensions demo bench
	$(BIN)/ruff check --fix src tests extensions demo bench

check: build  ## format, lint, types, imports
	$(BIN)/ruff format --check src tests extensions demo bench
	$(BIN)/ruff check src tests extensions demo bench
	$(BIN)/mypy
	$(BIN)/mypy demo bench
	$(BIN)/lint-imports

test-fast: check  ## check and the pure tests
	$(BIN)/pytest -q -n auto -m "not root"

# Tests that need root measure time and share the kernel: one after another. But for those that judge packets by the
# hundred thousand, in namespaces of their own: they measure nothing, and one CPU's Python is most of what they take. A
# file is one process's, so that no two of these may have XDP in front, or the legacy variant of iptables.
test: check $(GUESTS)  ## everything that must pass; needs root
	$(BIN)/pytest -q -n auto --durations=15 -m "not root"
	$(BIN)/pytest -q -n auto --dist loadfile --durations=15 -m root $(SIDE_BY_SIDE)
	$(BIN)/pytest -q --durations=40 -m root $(addprefix --ignore=,$(SIDE_BY_SIDE))

soak: build  ## at full size: ten million packets against the evaluator, kills, swaps, floods, churn (some hours; needs root)
	TORTIE_SOAK=1 $(BIN)/pytest -q -s tests/netns/test_lockdown_*.py tests/netns/test_attack_*.py tests/netns/test_contract.py tests/bpf/test_differential.py tests/bpf/test_tracked.py

test-kernels: build $(GUESTS)  ## more tests than `make test` has on emulated Linux 5.10, 6.1 and 6.12 (ten minutes; fetches packages)
	TORTIE_KERNELS=all $(BIN)/pytest -q -s tests/kernels

demo: build  ## the main job, for real, in two network namespaces (KEEP=1 leaves them up)
	$(BIN)/python demo/demo.py $(if $(KEEP),--keep)

demo-clean: build  ## remove labs that `make demo KEEP=1` left up
	$(BIN)/python demo/demo.py --clean

bench: build  ## measure; prints a table and writes build/bench.json (QUICK=1, ONLY="ports apply")
	PYTHONPATH=tests $(BIN)/python -m bench $(if $(QUICK),--quick) $(foreach group,$(ONLY),--only $(group))

schemas: build  ## write schemas/ anew: what editors and Kubernetes are told of the kinds
	rm -rf schemas
	mkdir -p schemas/json
	$(BIN)/tortie schema json > schemas/json/all.json
	$(BIN)/tortie schema crd --folder schemas/crd

packaging: build  ## manual pages and completions, for packages: packaging/man, packaging/completions
	rm -rf packaging/man packaging/completions
	mkdir -p packaging/completions
	$(BIN)/tortie man packaging/man > /dev/null
	for shell in bash zsh fish; do $(BIN)/tortie completion $$shell > packaging/completions/tortie.$$shell || exit 1; done

clean:  ## remove what was built
	rm -rf build packaging/man packaging/completions $(VENV)
