# make demo   install into .venv and read the example clip
# make test   install what tests need and run them
# make check  format, lint, types, import rules
# make bundle train the embedded bundle anew from MIEN_DATA (hours on two cores); goes on where it stopped
# make benchmark  measure time and memory, into benchmark/results; MIEN_DATA gives a 720p clip
# make lock   write constraints.txt anew from the registry's newest versions

VENV := .venv
BIN := $(VENV)/bin
# The first of these that runs and is new enough; PYTHON=... overrides.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
EXAMPLE := src/mien/bundles/astronaut.mp4

.PHONY: demo test check bundle benchmark reference lock clean

demo: $(VENV)/.run
	@$(BIN)/mien predict $(EXAMPLE)

test: $(VENV)/.test
	@$(BIN)/pytest $(PYTEST_OPTIONS)

check: $(VENV)/.test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bundle: $(VENV)/.test
	@test -n "$(MIEN_DATA)" || { echo "MIEN_DATA must name the folder that holds ravdess and" \
		"fer2013.zip: make bundle MIEN_DATA=..."; exit 1; }
	@$(BIN)/mien train $(MIEN_DATA)/ravdess $(MIEN_DATA)/fer2013.zip --preset mien --resume \
		--out src/mien/bundles/default --work bundle.work

benchmark: $(VENV)/.reference
	@for quantity in stages end_to_end cold_start memory training accelerator peers; do \
		$(BIN)/python benchmark/$$quantity.py || exit; done

reference: $(VENV)/.reference

lock: $(VENV)/.run
	@$(PIP) install uv
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --fork-strategy fewest \
		--python-version 3.11 --no-annotate --no-header --quiet --upgrade \
		--constraints scripts/lock.in --output-file constraints.txt

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "mien needs Python 3.11 or newer: apt install python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Python's venv module is missing: apt install python3-venv"; exit 1; }

# A stamp an install: the second `make` does nothing until versions change.
$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing mien into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing mien and what its tests need into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@ $(VENV)/.run

$(VENV)/.reference: pyproject.toml constraints.txt $(VENV)/.test
	@$(PIP) install --constraint constraints.txt --editable '.[reference]'
	@touch $@
