# The course's commands. `make lab` and `make test` do all the set-up themselves and are safe to run again.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
NB ?=
EX ?=
ARGS ?=
export JUPYTER_CONFIG_PATH := $(CURDIR)/autograder
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: lab test grade release reset bench classroom graders mutants claims pages pictures setup models help
help:
	@echo "make lab      set up and open JupyterLab on the notebooks"
	@echo "make test     set up and run every test"
	@echo "make grade NB=01-vectors    grade your own notebook, hidden tests included"
	@echo "make grade    grade what a class handed in (autograder/classroom/submitted)"
	@echo "make classroom    JupyterHub on this machine, with an instructor and two students"
	@echo "make reset NB=01-vectors    keep a dated copy of your notebook and start it afresh; EX=1.3 instead: one exercise"
	@echo "make release  write notebooks/ from solutions/ (changed notebooks are kept)"
	@echo "make graders  how many right answers the tests accept and wrong ones they catch; make mutants: the same for planted faults"
	@echo "make claims   run the notebooks and write the claims ledger, assets/claims.md"
	@echo "make pages    the notebooks with their figures as static HTML, in build/pages"
	@echo "make pictures    take each section's figure in JupyterLab under headless Chromium, into assets/pictures"
	@echo "make bench    compare the kernels with the libraries they are measured against"

$(VENV)/made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}. Name another: make lab PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/lab: $(VENV)/made pyproject.toml constraints.txt
	$(PY) -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/test: $(VENV)/lab
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

models: $(VENV)/lab
	@$(PY) -m aieng.models.weights

setup: $(VENV)/lab models

lab: setup
	$(PY) -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/01-vectors/01-vectors.ipynb

test: $(VENV)/test models
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadgroup --durations=25

grade: $(VENV)/lab
	@$(PY) -m autograder grade $(NB) $(ARGS)

release: $(VENV)/lab
	@$(PY) -m autograder release

reset: $(VENV)/lab
	@test -n "$(NB)$(EX)" || { echo "which notebook or exercise? make reset NB=01-vectors, or make reset EX=1.3" >&2; exit 2; }
	@$(PY) -m autograder release $(if $(EX),--reset-exercise $(EX),$(NB) --reset)

classroom: $(VENV)/test
	@$(PY) -m autograder.hub $(ARGS)

graders: $(VENV)/test models
	@$(PY) -m autograder banks $(ARGS)

mutants: $(VENV)/test models
	@$(PY) -m autograder banks --mutants 25 $(ARGS)

claims: $(VENV)/test models
	@$(PY) -m autograder claims $(NB)

pages: $(VENV)/test models
	@$(PY) -m autograder pages $(NB)

pictures: $(VENV)/test models
	@$(PY) -m autograder pictures $(NB)

bench: $(VENV)/test models
	@$(PY) -m benchmarks $(ARGS)
