# Set up, run and check everything from a fresh checkout. `make help` lists the targets.
#
#   PYTHON=...    the interpreter to build .venv with (default: the first suitable one found)
#   PIP_ARGS=...  further arguments for pip, e.g. "--extra-index-url URL" to get another PyTorch build

VENV     := .venv
PEERS    := .venv-peers
BIN      := $(VENV)/bin
PYTHON   ?=
PIP_ARGS ?=
OUTPUT   ?= demo-output
WORKERS  ?= 2
FIXED    ?=
MOVING   ?=
SLICER   ?=

# One computing thread a process: the tests run side by side.
TEST_ENV := OMP_NUM_THREADS=1

ifneq ($(if $(FIXED),given),$(if $(MOVING),given))
$(error Give both images: make demo FIXED=a.nii.gz MOVING=b.nii.gz)
endif

.DELETE_ON_ERROR:
.PHONY: help app demo bench test slicer-test faults fuzz index lint format types check docs clean rendering display

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile
	@echo "Your own images: make demo FIXED=a.nii.gz MOVING=b.nii.gz [OUTPUT=folder]"

demo: $(VENV)/.demo ## register a knee pair in an embedded Slicer scene; writes demo-output/
	$(BIN)/python -m JointRegistrationDemo.demo --output "$(OUTPUT)" \
		$(if $(FIXED),--fixed "$(FIXED)") $(if $(MOVING),--moving "$(MOVING)")

app: $(VENV)/.app rendering display ## open the panel beside slice views, without desktop Slicer (ARGS="--sample")
	$(BIN)/python Testing/Host/app.py $(if $(FIXED),"$(FIXED)") $(if $(MOVING),"$(MOVING)") $(ARGS)

bench: $(VENV)/.bench $(PEERS)/.installed ## speed limits, and our methods beside other programs; writes docs/performance.md (ARGS="--minutes 40")
	-$(TEST_ENV) $(BIN)/python -m pytest Testing/Benchmarks/speed_limits.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python Testing/Benchmarks/bench.py $(ARGS)

test: $(VENV)/.test rendering ## run every test (ARGS="-k name" to choose)
	$(TEST_ENV) $(BIN)/python -m pytest Testing -n $(WORKERS) --durations=10 $(ARGS)

slicer-test: $(VENV)/.demo ## run self-tests and a scenario by real clicks in a Slicer (SLICER=/path/to/Slicer ARGS="--images")
	@test -n "$(SLICER)" || { echo "Which Slicer? make slicer-test SLICER=/path/to/Slicer" >&2; exit 2; }
	$(BIN)/python Testing/Slicer/scenario/run.py "$(SLICER)" $(ARGS)

index: $(VENV)/.created ## list what Slicer's Extensions Index would refuse today
	$(BIN)/python Testing/Tools/extensions_index.py

faults: $(VENV)/.test rendering ## kill runs and workers hundreds of times (ARGS="-k evaluation" to choose)
	$(TEST_ENV) JOINTREG_FAULTS=10 $(BIN)/python -m pytest Testing/Library/cli/test_faults.py \
		Testing/Library/files/test_files_publishing.py Testing/Library/worker/test_worker_exchange.py Testing/MRML/run/test_job.py $(ARGS)

fuzz: $(VENV)/.test ## 5,000 damaged files over all readers, half an hour at most (ARGS="--count 500")
	$(TEST_ENV) $(BIN)/python Testing/Support/fuzz_inputs.py $(ARGS)

lint: $(VENV)/.test ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.test ## mypy, strict, on the library
	$(BIN)/mypy

check: lint types test ## lint, types and test

# One page a folder, with the docstrings of its modules; an unresolved reference is an error.
docs: export SPHINX_APIDOC_OPTIONS := members
docs: $(VENV)/.docs ## API reference made from the docstrings; writes build/docs/html
	rm -rf build/docs
	@mkdir -p build/docs/source
	cp docs/reference/index.rst build/docs/source
	for package in JointRegistrationLib JointRegistration/JointRegistrationMRML; do \
		$(BIN)/python -m sphinx.ext.apidoc -q --no-toc --module-first -o build/docs/source $$package || exit; \
	done
	$(BIN)/python -m sphinx -q -W --keep-going -c docs/reference build/docs/source build/docs/html

clean: ## remove .venv, .venv-peers, caches and build products (never demo-output)
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find JointRegistration JointRegistrationLib Testing Resources -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the virtual environment ---------------------------------------------------------------------
# Each stamp is written last, so an interrupted set-up is taken up again by the next make.

INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt $(PIP_ARGS)

$(VENV)/.demo: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) -e '.[scene]'
	@touch $@

$(VENV)/.app: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) -e '.[scene,host]'
	@touch $@

$(VENV)/.bench: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) -e '.[scene,test,bench]'
	@touch $@

$(VENV)/.docs: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) -e '.[scene,docs]'
	@touch $@

# The other programs of the benchmark. One that does not install here is left out, and the tables say so.
PEER_REQUIREMENTS := Testing/Benchmarks/peer_tools/requirements.txt
$(PEERS)/.installed: $(PEER_REQUIREMENTS) | $(VENV)/.created
	@test -x $(PEERS)/bin/python || $(BIN)/python -m venv $(PEERS)
	@grep -v '^#' $(PEER_REQUIREMENTS) | while read -r package; do \
		$(PEERS)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt $(PIP_ARGS) "$$package" || \
			echo "Note: $$package does not install here; the benchmark goes on without it." >&2; \
	done
	@touch $@

$(VENV)/.test: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) -e '.[scene,test,lint]'
	@touch $@

# slicer-core publishes wheels for Python 3.10 to 3.13. Debian's python3 may come without venv,
# hence the second import. A sound .venv made by hand is kept; anything else is made anew.
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))

$(VENV)/.created:
	@if $(BIN)/python -c '$(SUITABLE)' 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		touch $@; exit 0; \
	fi; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python3.10); do \
		if "$$python" -c '$(SUITABLE)' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv --clear $(VENV) && touch $@; exit $$?; \
		fi; \
	done; \
	echo "Python 3.10 to 3.13 with its venv module is needed, but $(if $(PYTHON),$(PYTHON) is not that,none was found);" \
		"install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 1

# Slice views are rendered off-screen through EGL on Linux, and Qt's widgets need a few libraries and a
# font; macOS needs nothing for either.
SHARED_LIBRARIES := libEGL.so.1 libGL.so.1 libxkbcommon.so.0 libdbus-1.so.3 libfontconfig.so.1 libglib-2.0.so.0
DEBIAN_PACKAGES := libegl1 libgl1 libgl1-mesa-dri libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 fonts-dejavu-core

# $(call need,libraries,Debian packages,what for,Fedora packages): install what is missing, or say what to install.
define need
	@if [ "$$(uname)" != Linux ] || $(BIN)/python -c \
		'import ctypes, sys; [ctypes.CDLL(name) for name in sys.argv[1:]]' $(1) 2>/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
			$(2) >/dev/null && exit 0; \
	fi; \
	echo "Note: libraries for $(3) are missing; install them with: sudo apt-get install $(2)" \
		"(Fedora: $(4))" >&2
endef

rendering: | $(VENV)/.created
	$(call need,$(SHARED_LIBRARIES),$(DEBIAN_PACKAGES),drawing slice views and the panel off-screen,\
		mesa-libEGL mesa-dri-drivers libxkbcommon dbus-libs fontconfig glib2 dejavu-sans-fonts)

# What Qt needs on top to open a window under X.
display: | $(VENV)/.created
	$(call need,libxcb-cursor.so.0 libxkbcommon-x11.so.0 libxcb-icccm.so.4 libxcb-image.so.0 libxcb-keysyms.so.1 \
		libxcb-render-util.so.0,libxcb-cursor0 libxkbcommon-x11-0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 \
		libxcb-render-util0,opening a window,xcb-util-cursor libxkbcommon-x11 xcb-util-wm xcb-util-image \
		xcb-util-keysyms xcb-util-renderutil)
