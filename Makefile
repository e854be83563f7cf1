PYTHON ?= python3
VENV = .venv
ACME = $(VENV)/bin/acme

.PHONY: run run-text test test-models test-slow crash lint bench case-glyphs ui stack stack-down clean constraints deps pictures backbones privacy

run: $(VENV)/installed
	$(ACME) run

# a sentence encoder, for people who write other languages (docs/text.md)
run-text: $(VENV)/installed
	test -f cases/text/params.yaml || $(ACME) --case text init --source package-descriptions --yes
	test -f cases/text/data.dvc || { $(ACME) --case text data fetch && $(ACME) --case text data pin; }
	$(ACME) --case text run

test: $(VENV)/installed
	$(VENV)/bin/pytest -n 2 --dist loadfile -m "not slow"

test-models: $(VENV)/installed
	$(VENV)/bin/pytest -m "not slow" tests/models

test-slow: $(VENV)/installed
	$(VENV)/bin/pytest -m slow

# kill a tiny run 20 times, and compare what is left with an undisturbed run
crash: $(VENV)/installed
	$(VENV)/bin/python -m tests.crash

lint: $(VENV)/installed
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy && $(VENV)/bin/lint-imports && $(VENV)/bin/deptry .

bench: $(VENV)/installed
	for file in benchmarks/*.py; do $(VENV)/bin/python $$file; done

# letters and digits in the fonts of Debian's packages, or of FONTS: goals beside what is reached
case-glyphs: $(VENV)/installed
	$(VENV)/bin/python -m examples.glyphs $(if $(FONTS),--fonts "$(FONTS)")

ui: $(VENV)/installed
	$(ACME) ui

stack: $(VENV)/installed
	$(ACME) stack up

stack-down: $(VENV)/installed
	$(ACME) stack down

clean:
	test ! -e .acme/stack/state.json || $(ACME) stack down
	rm -rf artifacts .acme mlflow/store

# torch and torchvision first and in one call: their builds must match
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -c constraints.txt torch torchvision
	$(VENV)/bin/pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

constraints: $(VENV)/installed
	$(VENV)/bin/pip install --quiet -c constraints.txt -e '.[test]'
	{ head -1 constraints.txt; $(VENV)/bin/pip freeze --exclude-editable; } > constraints.new && mv constraints.new constraints.txt

# what the stages of dvc.yaml depend on, from the imports of their flows
deps: $(VENV)/installed
	$(VENV)/bin/python -m flows.command.pipeline

# docs/architecture.md: its picture and tables
pictures: $(VENV)/installed
	$(VENV)/bin/python -m tasks.report.architecture

# docs/backbones.md: its table of timm's VisionTransformers (two minutes)
backbones: $(VENV)/installed
	$(VENV)/bin/python -m tasks.cloud.backbones

# docs/privacy.md: its tables of what messages reveal (ten minutes), and of finished cases' (seven a case)
privacy: $(VENV)/installed
	$(VENV)/bin/python -m tasks.experiments.privacy $(patsubst %/artifacts/customize,%,$(wildcard ./artifacts/customize cases/*/artifacts/customize))
