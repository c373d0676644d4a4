# Works on a fresh machine with make and Python 3.11 or newer (seen green on 3.11, 3.13 and 3.14); everything lands in .venv.
#
#   make serve                     try the gateway, with a built-in upstream and no provider key
#   make serve PORT=9000           somewhere else
#   make test ARGS="-k readme"     some of the tests
#   make PYTHON=python3.13 serve   with another Python

PYTHON ?= python3
# Plain assignments, since some shells export HOST for their own use.
HOST = 127.0.0.1
PORT = 8080
ARGS =
MINUTES = 10
CASES = 1000000
SECONDS = 20
SUITE = bookworm
BASE = HEAD~1
MUTANTS = 60
SEED = 1
BURSTS = 10000
CALLERS = 100000
BENCH =
COMPARE =
ONLY =
MEMORY =

# Compiled modules are kept, or every process of the tests would compile them again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
SDKS := .venv-conformance
YAML_SERVER := $(VENV)/editors/node_modules/.bin/yaml-language-server
BIN := $(VENV)/bin
# Its installs have --no-compile: few modules of the packages are imported, and those are compiled then.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV := $(firstword $(wildcard $(BIN)/uv) uv)
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --upgrade \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock"

# Stamps: nothing is installed again until a lock or pyproject.toml changes.
MADE := $(VENV)/.stamp-made
RUNTIME := $(VENV)/.stamp-runtime
PACKAGE := $(VENV)/.stamp-package
DEV := $(VENV)/.stamp-dev

.PHONY: help install editors serve check test test-unit test-tools test-postgres test-prometheus test-http2 test-chart test-compose test-scale image test-browser test-api fresh bare conformance clients mutants typos soak stress races bursts fuzz differential guided lint format docs hooks bench compare scale memory lock wheel sbom site clean
.DEFAULT_GOAL := help

help:
	@echo "make serve    run the gateway on $(HOST):$(PORT) with a built-in upstream"
	@echo "make check    check routes.yaml, providers.yaml and keys.yaml"
	@echo "make test     run the tests"
	@echo "make test-unit  the tests that need no socket and no process (seconds)"
	@echo "make test-tools  the tests that need programs of the machine: curl, git, nginx"
	@echo "make test-postgres  the tests of the store on PostgreSQL (installs it on Debian as root)"
	@echo "make image    build deploy/Containerfile on a minimal Debian, and run it (needs root and buildah)"
	@echo "make test-prometheus  a real Prometheus scrapes the gateway (installs it on Debian as root)"
	@echo "make test-http2  the tests of requests once more, over TLS and HTTP/2; curl, Node and Go, where they are here"
	@echo "make test-redis  limits counted in Redis: races, histories, a store that fails (installs it on Debian as root)"
	@echo "make test-chart  render the chart of Helm, and validate it against the schemas of Kubernetes"
	@echo "make test-compose  what deploy/compose starts, without containers (installs PostgreSQL, Redis, HAProxy and Prometheus on Debian as root)"
	@echo "make test-scale  each part of a whole site is stopped under load, a minute of it (installs what it needs on Debian as root)"
	@echo "make test-browser  pages in Chromium call the gateway, and the dashboard (installs it on Debian as root)"
	@echo "make test-api  thousands of requests that the OpenAPI document of the account API allows, or does not"
	@echo "make fresh    serve and test with Python, make and a shell alone, and an empty HOME"
	@echo "make bare     serve and test in a minimal Debian, SUITE=$(SUITE) (needs root and mmdebstrap)"
	@echo "make typos    how often a finding is on the line of a typo (20 minutes)"
	@echo "make mutants  how many of $(MUTANTS) small mistakes in the code the tests notice (an hour)"
	@echo "make soak     ten minutes of mixed traffic, faults, reloads and kills, with a verdict"
	@echo "make bursts   $(BURSTS) exchanges of every kind on kept connections, and after each the next one"
	@echo "make races    a million races for the last units of limits, and 100,000 requests that are given up, and $(CALLERS) callers that leave"
	@echo "make stress   1,000 stops and 200 replacements of workers under load (an hour)"
	@echo "make fuzz     a million cases for what reads input, with a report"
	@echo "make differential  100,000 bodies: no accepted one names another model to another parser"
	@echo "make guided   the same targets, led by coverage, for $(SECONDS) seconds each (needs a wheel of atheris)"
	@echo "make conformance  compare what vendors' SDKs send with what arrives through the gateway (needs npm), and make clients"
	@echo "make clients  run real clients against the gateway; ONLY='codex claude' for some of them"
	@echo "make lint     ruff and mypy"
	@echo "make format   let ruff format the code"
	@echo "make docs     write the generated pages and the picture in docs/ again"
	@echo "make hooks    prove the hook for pre-commit with the real one"
	@echo "make editors  show the schemas to the real yaml-language-server (needs npm)"
	@echo "make bench    measure the gateway beside other proxies (docs/performance.md)"
	@echo "make compare  measure the gateway beside itself at BASE=$(BASE)"
	@echo "make scale    three gateways with PostgreSQL, Redis and HAProxy, of which each part is stopped (docs/scaling.md)"
	@echo "make memory   memory of a worker over half an hour of mixed load"
	@echo "make lock     resolve both lock files again (needs uv)"
	@echo "make wheel    build the wheel, check what is in it, and serve as the README says"
	@echo "make sbom     write sbom.json: what an installation consists of (CycloneDX)"
	@echo "make site     the pages as a site, in build/site (MkDocs, strict)"
	@echo "make clean    remove .venv and caches"

serve: $(PACKAGE)
	@exec $(BIN)/engine serve --mock --host $(HOST) --port $(PORT)

check: $(PACKAGE)
	@$(BIN)/engine check

# Eight processes for two cores, since most tests of the whole wait more than they work; see tests/forked.py.
test: $(DEV) $(PACKAGE)
	@$(BIN)/python -m pytest -q --processes 8 $(ARGS)

test-unit: $(DEV) $(PACKAGE)
	@$(BIN)/python -m pytest -q --processes 4 -o testpaths=tests/unit $(ARGS)

# What `make test` skips where a program is missing; here that is a failure. Only files with such tests are collected.
test-tools: $(DEV) $(PACKAGE)
	@$(BIN)/python -m pytest -q -m needs --tools $$(grep -rlE 'mark\.needs|CURL' tests --include='test_*.py') $(ARGS)

# The store's tests once more, on a PostgreSQL in a temporary folder, or on the one that ORQEN_TEST_DATABASE names.
test-postgres: install-test-postgres
	@$(BIN)/python -m tests.postgres $(ARGS)

# What a real Prometheus and its linter make of the metrics.
image: install-image
	@$(BIN)/python -m pytest -q --tools tests/image/*.py $(ARGS)

test-prometheus: install-test-prometheus
	@$(BIN)/python -m pytest -q --tools tests/prometheus/*.py $(ARGS)

# The same requests over TLS and HTTP/2; a test of what only HTTP/1.1 has is left out, with its reason.
HTTP2 = catalogue relay $(addprefix gateway/test_,browsers caller_credentials cors lingering \
	malformed path_models record_sizes refusals uploads) $(addprefix upstream/test_,failover faults uploads)
test-http2: install
	@ORQEN_TEST_HTTP2=1 $(BIN)/python -m pytest -q --processes 2 \
		$(wildcard $(foreach name,$(HTTP2),tests/integration/$(name) tests/integration/$(name).py)) $(ARGS)
	@$(BIN)/python -m pytest -q tests/e2e/http2/clients.py

# Limits that several machines count in a Redis of their own, which the tests start; ORQEN_TEST_REDIS names another.
test-redis: install-test-redis
	@$(BIN)/python -m tests.redis_server $(ARGS)

# The chart of deploy/helm, without a cluster.
test-chart: install-test-chart
	@$(BIN)/python -m pytest -q --tools tests/chart/*.py $(ARGS)

test-compose: install-test-compose
	@$(BIN)/python -m pytest -q --tools tests/compose/*.py $(ARGS)

# Real pages in a real browser: those that `cors:` in routes.yaml is for, and the dashboard.
test-browser: install-test-browser
	@$(BIN)/python -m pytest -q --tools tests/browser/pages.py tests/browser/dashboard.py

# Each part of a whole site is stopped under load; ARGS=--keep writes the figures into docs.
scale: install-test-scale
	@$(BIN)/python -m tests.scale $(ARGS)

# A minute of it: what callers lose, and not what it costs.
test-scale: install-test-scale
	@$(BIN)/python -m tests.scale --short

test-api: install-test-api
	@$(BIN)/python -m tests.integration.admin.fuzz_api $(CURDIR)/$(VENV)/api/bin/st

fresh:
	@PYTHON=$(PYTHON) .ci/fresh

# Debian bookworm has Python 3.11, trixie 3.13, forky 3.14.
bare:
	@.ci/bare $(SUITE)

# All tests run once first (ten minutes); then some ten seconds for a mutant, and minutes for one that survives.
mutants: $(DEV) $(PACKAGE)
	@$(BIN)/python -m tests.mutants $(MUTANTS) $(SEED)

typos: $(DEV) $(PACKAGE)
	@$(BIN)/python -m tests.integration.catalogue.slip_scores 2000 7

soak: $(DEV) $(PACKAGE)
	@$(BIN)/python -m pytest -q tests/e2e/server/rolling.py
	@$(BIN)/python -m tests.overload 10
	@$(BIN)/python -m tests.soak $(MINUTES)

bursts: $(DEV) $(PACKAGE)
	@$(BIN)/python -m tests.integration.upstream.bursts $(BURSTS)

# Six minutes, most of them for CALLERS that leave a gateway: the counts of limits stay exact, in memory and in Redis.
races: install-test-redis
	@$(BIN)/python -m tests.races $(CALLERS)

stress: $(DEV) $(PACKAGE)
	@$(BIN)/python -m tests.stress 1000 200

fuzz: $(DEV) $(PACKAGE)
	@$(BIN)/python -m tests.fuzz $(CASES)

# CASES=1000 for fewer; Node and Go are asked as well where they are installed.
differential: $(DEV) $(PACKAGE)
	@$(BIN)/python -m tests.unit.gateway.inbound.differential $(or $(filter-out 1000000,$(CASES)),100000)

# A fuzzer that is led by coverage, in an environment of its own: atheris has wheels for few machines.
guided: $(DEV) $(PACKAGE)
	@test -d $(VENV)/guided || $(PYTHON) -m venv $(VENV)/guided
	@$(VENV)/guided/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --require-hashes \
		-r requirements-dev.lock -r requirements-guided.lock
	@$(VENV)/guided/bin/python -m tests.guided $(SECONDS)

wheel: $(DEV)
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@$(BIN)/python -m pytest -q tests/e2e/test_wheel.py tests/wheel/*.py

sbom: $(MADE)
	@$(PYTHON) -m venv $(VENV)/sbom
	@$(VENV)/sbom/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --require-hashes -r requirements-sbom.lock
	@$(VENV)/sbom/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --output-file sbom.json
	@echo "sbom: wrote sbom.json"

# MkDocs fails on a link, an anchor or a page that leads nowhere.
site: install-site
	@$(PYTHON) docs/site.py
	@NO_MKDOCS_2_WARNING=1 $(VENV)/site/bin/mkdocs build --strict
	@echo "site: wrote build/site"

lint: $(DEV) $(PACKAGE)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "not formatted; run: make format"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@echo "lint: ok"

format: $(DEV)
	@$(BIN)/ruff format --quiet

editors: install-editors
	@$(BIN)/python -m tests.e2e.lsp.yaml_language_server $(YAML_SERVER)

# Vendors' own SDKs against the shipped configuration: an environment of their own, and minutes rather than seconds.
conformance: clients install-conformance
	@$(BIN)/python -m tests.conformance.compare $(SDKS)/bin/python $(SDKS)/node

# Real clients in front of the gateway, each pinned; a language whose tools are not here is skipped.
clients: $(DEV) $(PACKAGE)
	@$(BIN)/python -m tests.conformance.clients $(SDKS)/clients $(ONLY)

# What is downloaded for one target alone, so that a run without a network can tell that from a failure.
install-%: install
	@:

install: $(DEV) $(PACKAGE)

install-test-browser: install
	@command -v chromium > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	  apt-get update -q > /dev/null && apt-get install -y -q chromium > /dev/null; } || \
	  { echo "test-browser needs chromium, Debian's package; as root it is installed"; exit 1; }
	@$(PIP) install --no-compile --require-hashes -r requirements-browser.lock
	@command -v npm > /dev/null || { echo "without npm the SDK's page and axe-core are skipped"; exit 0; }; \
	  for set in browser:conformance dashboard:browser; do \
	    to=$(SDKS)/$${set%%:*}; mkdir -p $$to && cp tests/$${set#*:}/*.json $$to && (cd $$to && npm ci --silent --no-audit --no-fund) || exit 1; \
	  done

install-test-postgres: install
	@[ -n "$$ORQEN_TEST_DATABASE" ] || ls /usr/lib/postgresql/*/bin/pg_ctl > /dev/null 2>&1 || command -v pg_ctl > /dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	  apt-get update -q > /dev/null && apt-get install -y -q postgresql > /dev/null; } || \
	  { echo "test-postgres needs PostgreSQL, Debian's package; as root it is installed"; exit 1; }

# Without starting the service that the package has.
install-image: install
	@[ "$$(id -u)" = 0 ] || { echo "image needs root, for buildah and a base of its own"; exit 1; }

install-test-prometheus: install
	@command -v promtool > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	  apt-get update -q > /dev/null && RUNLEVEL=1 apt-get install -y -q --no-install-recommends prometheus > /dev/null; } || \
	  { echo "test-prometheus needs Prometheus, Debian's package; as root it is installed"; exit 1; }

install-test-redis: install
	@[ -n "$$ORQEN_TEST_REDIS" ] || command -v redis-server > /dev/null || command -v valkey-server > /dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	  apt-get update -q > /dev/null && apt-get install -y -q redis-server > /dev/null; } || \
	  { echo "test-redis needs Redis or Valkey, Debian's package redis-server; as root it is installed"; exit 1; }

install-haproxy:
	@command -v haproxy > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	  apt-get update -q > /dev/null && RUNLEVEL=1 apt-get install -y -q --no-install-recommends haproxy > /dev/null; } || \
	  { echo "test-compose and scale need HAProxy, Debian's package; as root it is installed"; exit 1; }

install-test-compose: install-test-postgres install-test-redis install-test-prometheus install-haproxy
	@$(PIP) install --no-compile --require-hashes -r requirements-compose.lock

install-test-scale: install-test-postgres install-test-redis install-haproxy
	@:

install-site: $(MADE)
	@test -d $(VENV)/site || $(PYTHON) -m venv $(VENV)/site
	@$(VENV)/site/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --require-hashes -r requirements-site.lock

install-test-chart: install
	@$(PIP) install --no-compile --require-hashes -r requirements-chart.lock

install-test-api: install
	@test -d $(VENV)/api || $(PYTHON) -m venv $(VENV)/api
	@$(VENV)/api/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --require-hashes -r requirements-api.lock

install-editors: install
	@mkdir -p $(VENV)/editors
	@test -x $(YAML_SERVER) || npm install --prefix $(VENV)/editors --no-save --no-audit --no-fund --silent yaml-language-server@2.0.0

install-conformance: install
	@test -d $(SDKS)/bin || $(PYTHON) -m venv $(SDKS)
	@$(SDKS)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --require-hashes -r tests/conformance/requirements.lock
	@mkdir -p $(SDKS)/node && cp tests/conformance/*.json tests/conformance/calls.mjs $(SDKS)/node
	@cd $(SDKS)/node && npm ci --silent --no-audit --no-fund

docs: $(PACKAGE)
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/draw.py
	@$(BIN)/python deploy/grafana/generate.py

hooks:
	@PYTHON=$(PYTHON) tests/hooks/prove.sh

bench: $(DEV) $(PACKAGE)
	@$(BIN)/python -m bench $(BENCH)

compare: $(DEV) $(PACKAGE)
	@$(BIN)/python -m bench.compare $(COMPARE) $(BASE)

memory: $(DEV) $(PACKAGE)
	@$(BIN)/python -m bench.memory $(MEMORY)

lock:
	@$(COMPILE) pyproject.toml --extra accounts --group build --output-file requirements.lock
	@$(COMPILE) pyproject.toml --extra accounts --group dev --constraints requirements.lock --output-file requirements-dev.lock
	@$(COMPILE) --group api --output-file requirements-api.lock
	@$(COMPILE) --group sbom --output-file requirements-sbom.lock
	@$(COMPILE) --group guided --output-file requirements-guided.lock
	@$(COMPILE) --group chart --constraints requirements-dev.lock --output-file requirements-chart.lock
	@$(COMPILE) --group compose --output-file requirements-compose.lock
	@$(COMPILE) --group site --output-file requirements-site.lock
	@$(COMPILE) --group browser --constraints requirements-dev.lock --output-file requirements-browser.lock
	@$(COMPILE) tests/conformance/requirements.in --output-file tests/conformance/requirements.lock
	@$(COMPILE) tests/conformance/clients/python/requirements.in --output-file tests/conformance/clients/python/requirements.lock

clean:
	@rm -rf $(VENV) $(SDKS) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	@find engine tests docs -name __pycache__ -prune -exec rm -rf {} +

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is not Python 3.11 or newer; name one: make PYTHON=python3.13"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@: >$@

$(RUNTIME): $(MADE) requirements.lock
	@echo "installing requirements.lock"
	@$(PIP) install --no-compile --require-hashes -r requirements.lock
	@: >$@

$(PACKAGE): $(RUNTIME) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation -e .
	@: >$@

$(DEV): $(RUNTIME) requirements-dev.lock
	@echo "installing requirements-dev.lock"
	@$(PIP) install --no-compile --require-hashes -r requirements-dev.lock
	@: >$@
