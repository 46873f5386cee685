# The two commands: `make run` opens the dashboard, `make test` passes the tests. Both fetch and build what is missing.
# ARGS go to the program: make run ARGS="cifar10-mini --steps 200"
ARGS ?=
PYTHON ?= python3
BIN ?= $(HOME)/.local/bin

.PHONY: help run test lint bench install setup check-tools clean
help:
	@echo 'make run    build and open the dashboard on the default run    (ARGS="..." for landscope)'
	@echo 'make test   build and run the tests'
	@echo 'make install  put landscope into ~/.local/bin, so that ssh -t host landscope attach finds it'
	@echo 'make lint   formatting and clippy, warnings are errors'
	@echo 'make bench  measure the speed of the twin step and of telemetry, or of surfaces (ARGS="--surface --peer DIR")'
	@echo 'make setup  fetch libtorch alone; plain cargo build, test, run and clippy work from then on'
	@echo 'make clean  remove what was built (the cached libtorch stays)'

run: setup
	@cargo run -- $(ARGS)

test: setup
	cargo test

lint: setup
	cargo fmt --all --check
	cargo clippy --all-targets -- -D warnings

install: setup
	cargo build
	@mkdir -p "$(BIN)" && ln -sf "$(CURDIR)/target/debug/landscope" "$(BIN)/landscope"
	@echo 'landscope is in $(BIN); it goes on needing this folder'

bench: setup
	@cargo run -- bench $(ARGS)

setup: check-tools
	@$(PYTHON) .setup/libtorch.py

check-tools:
	@command -v cargo >/dev/null || { echo 'make: cargo is missing; install Rust 1.95 or newer (https://rustup.rs)' >&2; exit 1; }
	@command -v c++ >/dev/null || { echo 'make: a C++ compiler (c++) is missing; Debian: apt install g++' >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo 'make: python3 is missing; Debian: apt install python3 python3-pip' >&2; exit 1; }

clean:
	cargo clean
