# `make` alone prints the targets. Everything lands in build/, dist/ and .venv/; no system package is installed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export GOTOOLCHAIN := local
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BUILD := $(CURDIR)/.venv/build/bin/python
TEST := $(CURDIR)/.venv/test/bin/python
TOOLCHAIN := $(BUILD) $(CURDIR)/manylinux/toolchain.py
GO = "$$($(TOOLCHAIN) go)"
VERSITYGW := github.com/versity/versitygw/cmd/versitygw@v1.8.0

SOURCES := setup.py pyproject.toml MANIFEST.in LICENSE README.md \
	$(shell find gomod manylinux python stubs -type f -not -name '*.pyc' -not -name '*_test.go' -not -path '*.egg-info/*')
FAKES3 := $(shell find gomod/cmd/fakes3 gomod/fakes3 -type f -name '*.go' 2>/dev/null)

PIP_WHEEL = GLOWPLUG_MANYLINUX=1 $(BUILD) -m pip wheel --quiet --no-deps --no-build-isolation

.PHONY: help
help: ## print this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

.PHONY: demo
demo: .venv/demo/.stamp build/tools/fakes3 ## list the buckets of an embedded multi-region S3 through the wheel, beside boto3
	.venv/demo/bin/python examples/demo/demo.py

.PHONY: test
test: test-go test-py ## pass all tests, Go's and Python's; sets up everything first

.PHONY: test-go
test-go: .venv/build/.stamp ## pass the Go tests, with the race detector where a C compiler is found
	@cc=$$($(TOOLCHAIN) cc); [ -n "$$cc" ] || echo '*** NO C COMPILER: THE GO TESTS RUN WITHOUT THE RACE DETECTOR ***'; \
	cd gomod && CC="$$cc" CGO_ENABLED=$${cc:+1} $(GO) test $${cc:+-race} -count=1 -p 2 ./...

.PHONY: test-py
test-py: .venv/test/.stamp build/faults/.stamp build/tools/versitygw build/tools/fakes3 ## pass the Python tests over the installed wheel
	GLOWPLUG_FAULTS_SITE=$(CURDIR)/build/faults/site .venv/test/bin/pytest

.PHONY: wheel
wheel: dist/.stamp ## build the manylinux2014 wheel into dist/

.PHONY: wheel-faults
wheel-faults: build/faults/.stamp ## build the second wheel, whose Go side panics on request: for the tests only

.PHONY: sdist
sdist: .venv/build/.stamp ## build the source distribution into dist/
	$(BUILD) -m build --sdist --no-isolation --outdir dist

.PHONY: audit
audit: dist/.stamp build/faults/.stamp ## check what the wheels promise: tag, ABI, linkage, exports, files, paths, sizes
	$(BUILD) manylinux/audit.py dist/*.whl build/faults/*.whl

.PHONY: lint
lint: .venv/test/.stamp build/typed/.stamp ## gofmt, go vet, the ABI header, mypy.stubtest, pyright strict and its verifytypes
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l gomod); [ -z "$$unformatted" ] || { echo "gofmt -w $$unformatted"; exit 1; }
	cd gomod && $(GO) vet ./...
	cd gomod/pybind && $(GO) vet .
	@include=$$($(BUILD) -c 'import sysconfig; print(sysconfig.get_path("include"))'); cc=$$($(TOOLCHAIN) cc); \
	if [ -n "$$cc" ] && [ -e "$$include/Python.h" ]; then $$cc -std=c11 -fsyntax-only -I"$$include" manylinux/abi3_check.c; \
	else echo '*** NO C COMPILER OR NO PYTHON HEADERS: manylinux/abi3.h IS NOT CHECKED ***'; fi
	cd build && $(TEST) -m mypy.stubtest glowplug --mypy-config-file ../pyproject.toml --allowlist ../stubs/allowlist.txt
	.venv/test/bin/pyright
	@# It finds the installed wheel by the python on PATH, from a folder without sources.
	cd build && PATH="$(CURDIR)/.venv/test/bin:$$PATH" pyright --verifytypes glowplug --ignoreexternal

.PHONY: reference
reference: .venv/test/.stamp ## write docs/reference.md from the docstrings
	.venv/test/bin/python docs/generate.py

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf build dist .venv python/*.egg-info

# A stamp tells that its folder is complete and when it was made.

.venv/build/.stamp: manylinux/requirements.txt manylinux/toolchain.py
	@python=$$(for p in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python3.10); do \
		"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo "$$p" && break; done) || \
		{ echo 'glowplug needs Python 3.10 or newer: install one, or name one with `make PYTHON=/path/to/python3`.' >&2; exit 1; }; \
	rm -rf .venv/build; "$$python" -m venv .venv/build
	.venv/build/bin/pip install --quiet -r manylinux/requirements.txt $$(GLOWPLUG_MANYLINUX=1 $(TOOLCHAIN) requirements)
	@touch $@

dist/.stamp: .venv/build/.stamp $(SOURCES)
	@rm -rf dist/*.whl build/lib.* && mkdir -p dist
	$(PIP_WHEEL) --wheel-dir dist .
	@ls -l dist/*.whl && touch $@

build/faults/.stamp: .venv/build/.stamp $(SOURCES) | dist/.stamp
	@rm -rf build/faults build/lib.* && mkdir -p build/faults
	GLOWPLUG_GO_TAGS=glowplug_faults $(PIP_WHEEL) --wheel-dir build/faults .
	$(BUILD) -m pip install --quiet --no-deps --target build/faults/site build/faults/*.whl
	@touch $@

build/typed/.stamp: dist/.stamp
	@rm -rf build/typed && mkdir -p build/typed
	$(BUILD) -m zipfile -e dist/*.whl build/typed
	@touch $@

.venv/test/.requirements: tests/requirements.txt | .venv/build/.stamp
	rm -rf .venv/test && $(BUILD) -m venv .venv/test
	.venv/test/bin/pip install --quiet -r tests/requirements.txt
	@touch $@

.venv/test/.stamp: .venv/test/.requirements dist/.stamp
	.venv/test/bin/pip install --quiet --no-deps --force-reinstall dist/*.whl
	@touch $@

.venv/demo/.stamp: .venv/build/.stamp dist/.stamp
	rm -rf .venv/demo && $(BUILD) -m venv .venv/demo
	.venv/demo/bin/pip install --quiet dist/*.whl "$$(grep ^boto3== tests/requirements.txt)"
	@touch $@

build/tools/versitygw: | .venv/build/.stamp
	@mkdir -p build/tools
	GOBIN=$(CURDIR)/build/tools CGO_ENABLED=0 $(GO) install $(VERSITYGW)

build/tools/fakes3: $(FAKES3) | .venv/build/.stamp
	@mkdir -p build/tools
	cd gomod && CGO_ENABLED=0 $(GO) build -o ../$@ ./cmd/fakes3
