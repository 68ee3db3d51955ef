# Two commands do everything on a bare machine with Python 3.11+, pip and make: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUNS   ?= runs
OLDEST := $(VENV)-oldest
export MPLBACKEND := Agg

.PHONY: help demo demo-full docs test test-slow test-oldest ci-slow study lint generated proofs proofs-check evidence \
	benchmarks release clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

# What it took, in seconds, is what `make demo` tells.
INSTALL = began=$$(date +%s); $(BIN)/pip install --quiet --disable-pip-version-check -e '.$(1)' \
  && echo $$(($$(date +%s) - began)) > $(VENV)/installed

$(VENV)/installed: pyproject.toml | $(BIN)/python
	@$(call INSTALL)

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	@$(call INSTALL,[dev])
	@touch $@

demo: $(VENV)/installed ## both tasks: thresholds, penalised sweeps, checks, every figure (3 minutes on 2 cores)
	@$(BIN)/python scripts/demo.py --out $(RUNS) --set-up "$$(cat $(VENV)/installed)"

demo-full: $(VENV)/installed ## the same at full size: the runs of the README and of the ledger (10 minutes on 2 cores)
	@$(BIN)/python scripts/demo.py --full --out $(RUNS) --set-up "$$(cat $(VENV)/installed)"

test: $(VENV)/installed-dev ## the test suite
	$(BIN)/python -m pytest -n 2 --dist loadscope

test-slow: $(VENV)/installed-dev ## the tests that take minutes
	$(BIN)/python -m pytest -n 2 -m slow

$(OLDEST)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || { echo "NumPy 1.26 needs Python 3.11 or 3.12: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check $$(sed -n 's/^ *"\(numpy\|sympy\|scipy\)>=\(.*\)",/\1==\2.*/p' pyproject.toml) 'mpmath<1.4' pytest hypothesis
	@touch $@

# How near a search comes to an optimum is SciPy's affair, and older ones come less near: that test is left out.
test-oldest: $(OLDEST)/installed ## the calculators and theorems of bounds alone, on the oldest NumPy, sympy and SciPy allowed
	$(OLDEST)/bin/python -m pytest --noconftest --hypothesis-profile=ci -k 'not finds_known_optima' \
	  $$(grep -rL 'empirical\|import torch\|import flint\|bounds.ledger' tests/bounds --include='test_*.py')

ci-slow: $(VENV)/installed-dev test-oldest ## what is slow and still belongs to every change: wheel, notebook, examples, every canary, Python 3.12's types
	$(BIN)/python -m pytest -n 2 -m slow tests/test_install.py tests/test_notebook.py tests/test_examples.py tests/test_benchmarks.py \
	  tests/bounds/ledger tests/empirical/checkpoints/test_canaries.py tests/empirical/studies/test_edges.py \
	  tests/empirical/studies/test_certificate.py tests/empirical/pages
	$(BIN)/pyright --pythonpath $(BIN)/python --pythonversion 3.12

release: $(VENV)/installed-dev ## sdist and wheel in dist/, held against changelog, citation and tag; uploads nothing
	$(BIN)/python scripts/release.py

study: $(VENV)/installed-dev ## both edges of the transition in the blocks laboratory, residual 1e-8
	$(BIN)/python -m pytest -m study -s

lint: $(VENV)/installed-dev ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

$(VENV)/installed-docs: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

docs: $(VENV)/installed-docs ## the documentation site, docs/_build/html/index.html; runs the tutorials, needs no network
	rm -rf docs/_build
	$(BIN)/python -m sphinx -W --keep-going -q -E -b html docs docs/_build/html
	@echo "The site: docs/_build/html/index.html"

generated: $(VENV)/installed-dev ## print closed forms for NumPy, Coq and JavaScript, stubs of calculators, paper_checks.md and docs, from theorems, evidence and architectures
	$(BIN)/python -m bounds.printing.numpy_forms
	$(BIN)/python -m bounds.printing.signatures
	$(BIN)/python -m bounds.printing.coq
	$(BIN)/python -m bounds.printing.javascript
	$(BIN)/python -m empirical.cli.pages
	$(BIN)/localist claims
	$(BIN)/python -m empirical.checkpoints.covered

proofs: $(VENV)/installed-dev ## the formal proofs: build, statements as pinned, axioms (Debian: coq libcoq-coquelicot libcoq-interval)
	$(BIN)/python proofs/gate.py

proofs-check: proofs ## mutations, 1,000 random inputs, and the proofs once more by Coq's independent checker (minutes)
	$(BIN)/python proofs/mutations.py
	$(BIN)/python proofs/agreement.py
	cd proofs && coqchk -silent -o -Q . Localist $(patsubst proofs/%.v,Localist.%,$(wildcard proofs/*.v))

evidence: $(VENV)/installed-dev ## the ledger from nothing: a million inputs a theorem, the studies, paper_checks.md (40 minutes)
	$(BIN)/localist verify
	$(BIN)/localist run --study floors --out $(RUNS)/evidence/floors --resume
	$(BIN)/localist run --study schedule --out $(RUNS)/evidence/schedule --resume
	$(BIN)/localist run --study edges --out $(RUNS)/evidence/edges_blocks --resume
	$(BIN)/localist run --study edges examples/topics_edges.toml --out $(RUNS)/evidence/edges_topics --resume
	$(BIN)/python -m empirical.studies.evidence $(addprefix $(RUNS)/evidence/,floors schedule edges_blocks edges_topics) --out bounds/ledger/evidence/studies
	$(BIN)/localist claims

benchmarks: $(VENV)/installed-dev ## every benchmark in turn, saved as JSON, and one table of their ratios
	$(BIN)/python benchmarks/table.py

clean: ## remove the virtual environment and the runs
	rm -rf $(VENV) $(OLDEST) $(RUNS) build dist *.egg-info proofs/*.vo* proofs/*.glob proofs/.*.aux proofs/Makefile.coq* proofs/.Makefile.coq.d
