# The front door: an environment from pinned versions, then Snakemake or the tests. `make help` lists the commands.
PYTHON ?= python3
OLDEST := $(shell sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)
JOBS ?= 4
TEST_JOBS ?= 2
FUZZ ?= 10000
IN_PARALLEL := -n $(TEST_JOBS) --dist loadscope --no-loadscope-reorder
QUICK := tests/numbers tests/xir tests/compiler tests/vart tests/target_src tests/output
VENV := .venv
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: all help env quick report pictures test long-test quick-test fuzz faults lint clean

help: ## this list
	@echo "make target_zcu102   build the SD-card folder build/target_zcu102 (also target_zcu104, target_kv260, target_vck190, ...)"
	@echo "make run_zcu102      build it and run the app on this machine"
	@echo "make all             build every target of config.yaml"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-16s%s\n", $$1, $$2 }'
	@echo "JOBS=n sets how many jobs run at once (TEST_JOBS=n: tests), PYTHON=... the interpreter ($(OLDEST) or newer)"

env: $(READY) ## the Python environment in .venv, nothing else

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < tuple(map(int, "$(OLDEST)".split("."))))' || \
	  { echo "error: Python $(OLDEST) or newer is needed, $(PYTHON) is $$($(PYTHON) --version); name another with PYTHON=python$(OLDEST)"; exit 1; }
	@echo "The Python environment into $(VENV): some 120 packages, a few minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

quick: $(READY) ## the same flow on a tenth of the images, in build/quick: a first look
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake -j$(JOBS) target_zcu102 --configfile config/quick.yaml

all: $(READY) # every target of config.yaml
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake -j$(JOBS) all

target_% run_% check_% deploy_% board_run_% sdcard_%: $(READY)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake -j$(JOBS) $@

report: $(READY) ## build what is missing, then build/report.html: everything about the build in one file
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake -j$(JOBS) report_inputs
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake report_inputs --report build/report.html

pictures: $(READY) ## the pictures of README.md, from the build; needs graphviz
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" snakemake -j$(JOBS) build/report/zcu102/ladder.svg
	cp build/report/zcu102/ladder.svg docs/pictures/ladder.svg
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH"; export PATH; snakemake target_zcu102 --rulegraph \
	  | python scripts/report_dag.py --output docs/pictures/dag.svg

test: $(READY) ## run the tests
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python -m pytest $(IN_PARALLEL) -m "not long"

long-test: $(READY) ## run the tests of whole builds, such as killed ones and those on a real Slurm, of trainings, and of older TensorFlow
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python -m pytest $(IN_PARALLEL) -m long

quick-test: $(READY) ## run the tests that take seconds, on the parts that most changes touch
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python -m pytest -q -n $(TEST_JOBS) --dist loadscope -m "not slow" $(QUICK)

fuzz: $(READY) ## try 10,000 hostile inputs at each door (FUZZ=n: so many), and print the counts
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" SOFTDPU_FUZZ=$(FUZZ) python -m pytest -q -s tests/hostile

faults: $(READY) ## kill, starve and mistreat small builds, and print what was found; takes half an hour or more
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python tests/hostile/faults.py

lint: $(READY) ## run the style checks alone
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" python -m pytest -q tests/workflow/test_style.py

clean: ## remove what was built, not the data and not the environment
	rm -rf build logs
