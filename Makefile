# make demo     a fresh machine to a report page: installs into .venv, makes a capture, fits, evaluates, writes the report
# make test     every check (what .ci/run runs): ruff, pyright, layers, pytest with coverage
# make lint     the checks that run no code of ours
# make docs     the documentation site, into site/
# make kernels  compiles the CPU kernels in place, into src/veduta/kernels/ (for work on the C++)
# make clean    removes what the above made, except .venv
#
# PYTHON=python3.12 chooses the interpreter; PIP_ARGS adds options to every pip install.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install -c constraints.txt $(PIP_ARGS)

NATIVE := CMakeLists.txt $(wildcard src/veduta/kernels/csrc/*)
CHECKED := src tests examples benchmarks

.PHONY: demo test lint docs kernels clean
.DELETE_ON_ERROR:

$(BIN)/.made:
	@test -n "$(PYTHON)" || { echo "veduta needs Python 3.11 or newer (with venv): make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(BIN)/.tools: $(BIN)/.made constraints.txt
	$(PIP) scikit-build-core nanobind cmake ninja
	@touch $@

$(BIN)/.installed: $(BIN)/.tools pyproject.toml $(NATIVE)
	$(PIP) --no-build-isolation -e '.[sfm]'
	@touch $@

$(BIN)/.dev: $(BIN)/.installed
	$(PIP) --no-build-isolation -e '.[sfm,dev]'
	@touch $@

$(BIN)/.docs: $(BIN)/.installed
	$(PIP) 'mkdocs-material>=9.5' 'mkdocstrings[python]>=0.26'
	@touch $@

demo: $(BIN)/.installed
	$(BIN)/veduta demo -o demo
	@echo "The report: $(CURDIR)/demo/report.html"

test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal --cov --cov-report=term

lint: $(BIN)/.dev
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: $(BIN)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

kernels: $(BIN)/.tools
	$(BIN)/cmake -S . -B build/in-place -G Ninja -DCMAKE_BUILD_TYPE=Release \
		-DPython_EXECUTABLE=$(abspath $(BIN)/python) -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja)
	$(BIN)/cmake --build build/in-place
	$(BIN)/cmake --install build/in-place --prefix src --component python
	@# An editable install looks for the module where it put it; that copy is replaced as well.
	@test ! -e $(BIN)/.installed || $(BIN)/cmake --install build/in-place --component python \
		--prefix "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"

clean:
	rm -rf build dist site demo htmlcov .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -f src/veduta/kernels/*.so
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
