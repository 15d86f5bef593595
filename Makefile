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
MODELS  ?= sam_vit_b
TARGETS ?= api worker-cpu worker-cuda
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
CONSTRAINTS ?= constraints.txt

VENV := .venv
RUN  := $(VENV)/bin/python
PIP  := $(RUN) -m pip install --disable-pip-version-check --quiet --no-compile
# pip would compile one file after the other; this takes every core. Packages have files that do not compile.
COMPILE = $(RUN) -W ignore -m compileall -qq -j 0 $(VENV)/lib || true
# The versions of constraints.txt, so that every install is the same. An index may lack one of them.
PINNED = $(PIP) $(addprefix -c ,$(CONSTRAINTS)) $(1) || { [ -n "$(CONSTRAINTS)" ] && \
  echo "installing without $(CONSTRAINTS), because pip could not use it (see above)" >&2 && $(PIP) $(1); }
# The service, and the client as a distribution of its own.
RUNTIME   = -e '.[worker,local]' -e './client[s3]'
# In a folder of their own, because python-multipart hides the package multipart, which the server uses.
MCP = mcp==2.3.0 mcp-types==2.3.0 PyJWT==2.15.1 python-multipart==0.0.34 sse-starlette==3.7.0
DEVELOPER = -e '.[worker,local,dev]' -e './client[all]'

.DEFAULT_GOAL := help
.PHONY: help install demo up put env down reset test faults fuzz soak mutants attacks check k8s-check images bench docs web lock

help:  ## print this list
	@echo "maskworks: segment every image in a bucket"
	@echo
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Set PORT=$(PORT) WORKERS=$(WORKERS) DATA=$(DATA), and every MASKWORKS_… setting"

install: $(VENV)/.developer  ## make .venv with everything that the other targets need

demo: $(VENV)/.runtime  ## run the whole service once on photographs; results are in demo-out/
	@$(RUN) -m deploy.demo --data "$(DATA)/demo" --out "$(OUT)"

up: $(VENV)/.runtime  ## run the service until Ctrl-C (PORT DATA WORKERS)
	@exec $(RUN) -m deploy.local up --data "$(DATA)" --port "$(PORT)" --workers "$(WORKERS)"

put: $(VENV)/.runtime  ## upload your pictures into the local bucket (DIR=photos)
	@$(RUN) -m deploy.local put --data "$(DATA)" "$(DIR)"

env: $(VENV)/.runtime  ## print its address and API key as shell variables, for eval
	@$(RUN) -m deploy.local env --data "$(DATA)"

down: $(VENV)/.runtime  ## stop the service that another terminal started
	@$(RUN) -m deploy.local down --data "$(DATA)"

reset: $(VENV)/.runtime  ## delete its data
	@$(RUN) -m deploy.local reset --data "$(DATA)"

# Many tests wait for processes, so four run at a time, also on two cores. Each has its own stores and takes 2 GB.
# In the order of tests/units.py: xdist would put the files with one long test last, and then all wait for that.
test: install  ## run every test, on a real Postgres, Redis and S3
	@$(RUN) -m pytest -n 4 --dist loadfile --no-loadscope-reorder

faults: install  ## run every fault against the whole service (a quarter of an hour)
	@$(RUN) -m pytest -m "" tests/faults tests/client/test_faults.py

fuzz: install  ## send random requests by the OpenAPI document (SECONDS SEED)
	@$(RUN) -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

soak: install  ## run random jobs under random faults (ITEMS FAULTS SEED)
	@$(RUN) -m tests.faults.soak --items $(ITEMS) --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

mutants: install  ## remove each mechanism in turn and expect a test to fail
	@$(RUN) -m tests.faults.mutants

attacks: install  ## send hostile requests, files and messages
	@$(RUN) -m tests.attacks $(if $(ONLY),--only "$(ONLY)")

check: install  ## check style and types
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

k8s-check: install  ## check the manifests of deploy/k8s (OVERLAY=a folder of yours)
	@$(RUN) -m tools.manifests $(OVERLAY)

images:  ## build the images with Docker (REGISTRY=registry.example.com/ TARGETS MODELS)
	@for target in $(TARGETS); do \
	  docker build -f deploy/Dockerfile --target $$target --build-arg VERSION=$(VERSION) --build-arg MODELS=$(MODELS) \
	    --build-arg REVISION=$$(git rev-parse HEAD) -t $(REGISTRY)maskworks-$$target:$(VERSION) . || exit 1; done

bench: install  ## run the benchmarks; JSON goes into bench/results/
	@$(RUN) -m bench

docs: install  ## build the documentation as a site, in site/
	@$(call PINNED,-e '.[docs]')
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

web: install  ## build the pages of web/ into api/static/pages; needs Node 20.19 or newer
	@$(RUN) -m tools.pages

lock:  ## write constraints.txt: the newest versions that pyproject.toml allows
	@rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --disable-pip-version-check --quiet -e '.[worker,heic,local,dev,docs]' -e './client[all]'
	@{ echo "# Versions that are installed and tested together, on Python 3.11. Made by \`make lock\`."; \
	  $(VENV)-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt
	@rm -rf $(VENV)-lock

# Stamps: pip runs again only when a pyproject.toml or constraints.txt has changed. Running the service needs less than
# developing it, so that the first `make demo` fetches less.
$(VENV)/.runtime: pyproject.toml client/pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	@echo "installing into $(VENV) (minutes, the first time) …"
	@$(call PINNED,$(RUNTIME))
	@$(COMPILE)
	@touch $@

$(VENV)/.developer: pyproject.toml client/pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	@echo "installing into $(VENV) what the service, tests and checks need (minutes, the first time) …"
	@$(call PINNED,$(DEVELOPER))
	@$(COMPILE)
	@$(PIP) --target $(VENV)/mcp --upgrade --no-deps $(MCP) || echo "without the tests of maskworks mcp" >&2
	@touch $(VENV)/.runtime $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "maskworks needs Python 3.11 or newer. Name one with make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python has no venv module. On Debian, run apt install python3-venv." >&2; exit 1; }
