# Two commands are enough on a fresh machine with Python 3.11: `make demo` and `make test`.

PYTHON ?= python3.11
EXTRA ?= cpu
BOX := .venv/bin/python
EXPORT := .venv-export/bin/python
BOX_STAMP := .venv/.installed-$(EXTRA)
EXPORT_STAMP := .venv-export/.installed

.DEFAULT_GOAL := help
.PHONY: help env env-export demo test test-full check box-tests export-tests bench bench-anomalib replay ablation embedded install uninstall clean

help:
	@echo "make demo        set up and run the main job on drawn parts (CPU, no network after the install)"
	@echo "make test        set up and run lint, types and all tests; installs .venv and .venv-export (5.6 GB)"
	@echo "make test-full   also the slow tests"
	@echo "make check       lint and types only"
	@echo "make env         the box's environment in .venv (EXTRA=gpu on a box with an NVIDIA GPU)"
	@echo "make env-export  the export environment with PyTorch in .venv-export"
	@echo "make bench       speed and memory, as ratios"
	@echo "make bench-anomalib  scoring beside anomalib; installs it in an environment of its own (6 GB)"
	@echo "make replay      the choice on labelled photos, and the tables of docs/method.md (needs GOODPARTS_DATA)"
	@echo "make ablation    what each part of the choice is worth, from what make replay left, into docs/method.md"
	@echo "make install     the service on this box, as root (EXTRA=gpu with an NVIDIA GPU; docs/operations.md)"
	@echo "make uninstall   takes it off again; settings, results and history stay"
	@echo "make embedded    train the embedded models again, and draw the foreign pictures"

env: $(BOX_STAMP)
env-export: $(EXPORT_STAMP)

# The environment is made anew when EXTRA changes: two builds of ONNX Runtime cannot share one.
$(BOX_STAMP): pyproject.toml constraints/box.txt
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BOX) -m pip install --quiet --disable-pip-version-check -c constraints/box.txt -e ".[$(EXTRA),prompts,replay,dev]"
	touch $@

$(EXPORT_STAMP): pyproject.toml constraints/export.txt
	rm -rf .venv-export
	$(PYTHON) -m venv .venv-export
	$(EXPORT) -m pip install --quiet --disable-pip-version-check -c constraints/export.txt -e ".[export,dev]"
	touch $@

demo: $(BOX_STAMP)
	.venv/bin/goodparts demo

check: $(BOX_STAMP)
	$(BOX) -m ruff check .
	$(BOX) -m ruff format --check .
	$(BOX) -m mypy

box-tests: $(BOX_STAMP)
	$(BOX) -m pytest -m "not slow" --ignore tests/export

export-tests: $(EXPORT_STAMP)
	$(EXPORT) -m mypy -p export
	$(EXPORT) -m pytest -m "not slow" tests/export

test: check box-tests export-tests

test-full: check $(EXPORT_STAMP)
	$(BOX) -m pytest --ignore tests/export
	$(EXPORT) -m mypy -p export
	$(EXPORT) -m pytest tests/export

bench: $(BOX_STAMP) $(EXPORT_STAMP)
	$(BOX) -m benchmarks.sharing
	$(BOX) -m benchmarks.scoring --candidates tessera/patches_s8 tessera/patches_s16 gabor/patches
	$(BOX) -m benchmarks.scoring_latency
	$(BOX) -m benchmarks.models
	$(BOX) -m benchmarks.unet_quality
	$(BOX) -m benchmarks.thresholds
	$(EXPORT) -m benchmarks.export_speed
	$(EXPORT) -m benchmarks.diffstyle_speed
	$(EXPORT) -m benchmarks.full_unet

bench-anomalib: $(BOX_STAMP)
	$(BOX) -m benchmarks.anomalib_speed

replay: $(BOX_STAMP)
	$(BOX) -m benchmarks.replay --docs docs/method.md

ablation: $(BOX_STAMP)
	$(BOX) -m benchmarks.ablation --docs docs/method.md

embedded: $(EXPORT_STAMP)
	$(EXPORT) -m export.embedded.build
	$(EXPORT) -m export.embedded.drawings --out engines/embedded/drawings

# DESTDIR, PREFIX, ENABLE and PIP_OPTIONS: systemd/install.sh says what they are for.
install uninstall:
	@EXTRA="$(EXTRA)" PYTHON="$(PYTHON)" PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" ENABLE="$(ENABLE)" \
		PIP_OPTIONS="$(PIP_OPTIONS)" sh systemd/install.sh $@

clean:
	rm -rf .venv .venv-export build dist *.egg-info
