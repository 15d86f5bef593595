# maskworks. `make` alone lists what there is.
PYTHON  ?= python3
PORT    ?= 8000
WORKERS ?= 1
DATA    ?= .maskworks
DIR     ?= photos
OUT     ?= demo-out
ITEMS   ?= 1000
FAULTS  ?= 20
SECONDS ?= 300
CONSTRAINTS ?= constraints.txt

VENV := .venv
RUN  := $(VENV)/bin/python
PIP  := $(RUN) -m pip install --disable-pip-version-check --quiet
COMMA := ,
# The versions of constraints.txt, so that every install is the same. An index may lack one of them.
PINNED = $(PIP) $(addprefix -c ,$(CONSTRAINTS)) -e '.[$(1)]' || { [ -n "$(CONSTRAINTS)" ] && \
  echo "installing without $(CONSTRAINTS), because pip could not use it (see above)" >&2 && $(PIP) -e '.[$(1)]'; }

.DEFAULT_GOAL := help
.PHONY: help install demo up put env down reset test faults fuzz soak mutants attacks check bench docs lock

help:  ## this list
	@echo "maskworks: segment every image in a bucket"
	@echo
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PORT=$(PORT) WORKERS=$(WORKERS) DATA=$(DATA) may be set, and every MASKWORKS_… setting"

install: $(VENV)/.developer  ## .venv with everything the other targets need

demo: $(VENV)/.runtime  ## photographs in, masks out: the whole service once, on this machine
	@$(RUN) -m deploy.demo --data "$(DATA)/demo" --out "$(OUT)"

up: $(VENV)/.runtime  ## the service in the foreground until Ctrl-C (PORT DATA WORKERS)
	@exec $(RUN) -m deploy.local up --data "$(DATA)" --port "$(PORT)" --workers "$(WORKERS)"

put: $(VENV)/.runtime  ## own pictures into the local bucket (DIR=photos)
	@$(RUN) -m deploy.local put --data "$(DATA)" "$(DIR)"

env: $(VENV)/.runtime  ## its address and API key as shell variables, to be read by eval
	@$(RUN) -m deploy.local env --data "$(DATA)"

down: $(VENV)/.runtime  ## stop a service that was started elsewhere
	@$(RUN) -m deploy.local down --data "$(DATA)"

reset: $(VENV)/.runtime  ## forget its data
	@$(RUN) -m deploy.local reset --data "$(DATA)"

# Most tests wait for processes, so two run at a time; each of the two has stores of its own.
test: install  ## every test, on a real Postgres, Redis and S3
	@$(RUN) -m pytest -n 2 --dist loadfile

faults: install  ## every fault of the catalogue against the whole service (minutes)
	@$(RUN) -m pytest -m "" tests/faults

fuzz: install  ## random requests by the OpenAPI document against the whole service (SECONDS SEED)
	@$(RUN) -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

soak: install  ## random jobs under random faults (ITEMS FAULTS SEED)
	@$(RUN) -m tests.faults.soak --items $(ITEMS) --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

mutants: install  ## take each mechanism of the protocol away and see a test go red
	@$(RUN) -m tests.faults.mutants

attacks: install  ## hostile requests, files and messages against a running stack
	@$(RUN) -m tests.attacks $(if $(ONLY),--only "$(ONLY)")

check: install  ## ruff, types
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: install  ## the benchmarks; JSON into bench/results/
	@$(RUN) -m bench

docs: install  ## the documentation as a site, in site/
	@$(call PINNED,docs)
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

lock:  ## constraints.txt anew: the newest versions that pyproject.toml allows (minutes)
	@rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --disable-pip-version-check --quiet -e '.[worker,heic,local,dev,docs]'
	@{ echo "# Versions that are installed and tested together, on Python 3.11. Made by \`make lock\`."; \
	  $(VENV)-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt
	@rm -rf $(VENV)-lock

# Stamps: pip runs again only when pyproject.toml or constraints.txt has changed. What runs the service is apart from what
# develops it, so that the first `make demo` fetches less.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	@echo "installing into $(VENV) (minutes, the first time) …"
	@$(call PINNED,worker$(COMMA)local)
	@touch $@

$(VENV)/.developer: pyproject.toml constraints.txt $(VENV)/.runtime
	@echo "installing what tests and checks need …"
	@$(call PINNED,worker$(COMMA)local$(COMMA)dev)
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "maskworks needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: on Debian, apt install python3-venv" >&2; exit 1; }
