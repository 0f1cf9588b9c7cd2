# charlm: set-up, demo, tests. `make` alone lists what there is.
#
# PYTHON       the interpreter that makes .venv              [python3]
# TORCH_INDEX  package index of a CPU or CUDA build of torch [pip's own choice]

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo test lint check format bench soak ranges clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## make .venv and install charlm into it, editable

# rebuilt only when what it is made of changes, so the second time costs nothing
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@if [ -n "$(TORCH_INDEX)" ]; then $(BIN)/pip install --quiet --index-url "$(TORCH_INDEX)" -c constraints.txt torch; fi
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

# shows each command before it runs it, as one would type it
define charlm
	@printf '\n\033[1m$$ charlm %s\033[0m\n' '$(1)'
	@$(BIN)/charlm $(1)
endef

demo: $(READY)  ## fetch Shakespeare, train a minute, measure, write a passage
	$(call charlm,corpora get shakespeare)
	$(call charlm,train shakespeare --minutes 1)
	$(call charlm,eval --perplexity)
	$(call charlm,generate --temperature 0.8 --prompt "ROMEO:" --length 600)
	@printf '\n\nAll of it is in checkpoints/. Activate the tool with: . $(BIN)/activate\n'

# two processes, each with whole files: fixtures of a file are made once
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

test: $(READY)  ## run the whole test suite
	$(BIN)/pytest $(SIDE_BY_SIDE)

lint: $(READY)  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint  ## lint, and the fast tests
	$(BIN)/pytest $(SIDE_BY_SIDE) -m 'not slow'

format: $(READY)  ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# make bench ARGS=--quick shows that they run, in a few minutes
SOAKS := properties bad_input terminals kill_and_resume signals two_at_once damage hostile system_calls sizes endurance honest_numbers honest_intervals processors supply fuzzing
BENCHMARKS := machine training sampling commands transformer encoding gpu

bench: $(READY)  ## run the benchmarks and put what they found into the pages
	@for program in $(BENCHMARKS); do echo "== $$program"; GOMP_SPINCOUNT=10000 $(BIN)/python benchmarks/$$program.py $(ARGS) || exit 1; done
	$(BIN)/python benchmarks/report.py

# goes on after a failure, so that one run says all there is to say; ends with the table of counts
soak: $(READY)  ## try for a day to break what is promised
	-$(BIN)/pip install --quiet -c constraints.txt -e '.[soak]'
	@failed=0; for program in $(SOAKS); do echo "== $$program"; $(BIN)/python tests/soak/$$program.py $(ARGS) || failed=1; done; \
	$(BIN)/python tests/soak/reliability.py && exit $$failed

# downloads some hundred MB each time; make ranges ARGS='--torch 2.13.0' spares the CUDA build at the lowest end
ranges: $(READY)  ## run a part of the suite with the lowest and the highest dependencies
	$(BIN)/python tests/soak/dependency_ranges.py lowest $(ARGS)
	$(BIN)/python tests/soak/dependency_ranges.py highest $(ARGS)

clean:  ## remove .venv and caches; corpora and checkpoints stay
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
