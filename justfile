# What one can do here. `just` lists it; each line can be run by hand as well.

# This list.
default:
    @just --list

# Run a server from ./data, https on port 8443.
serve *ARGS:
    cargo run --release -- serve {{ARGS}}

# Everything that must pass before a change lands (installs what it needs).
test:
    tests/run

# The quick part of it: form, lints, walls, unit and black-box tests.
quick:
    cargo fmt --check
    tests/walls
    cargo clippy --all-targets --locked -- -D warnings
    cargo test --locked

# The walls alone: who may import what, and how long a file may be.
walls:
    tests/walls
    python3 tests/test_walls.py

# The dependencies against deny.toml: licences, bans, sources, advisories.
deny:
    cargo deny check

# The specification, after a change to the API. Read the diff.
openapi:
    cargo run -- openapi > openapi/openapi.json
    git diff --stat openapi

# Transcripts of the command line, after a change to what it prints. Read the diff.
transcripts:
    SITEWARDEN_WRITE_TRANSCRIPTS=1 cargo test --locked --test black_box
    git diff --stat tests

# Database files as this version writes them, for tests/data.
test-data DIRECTORY:
    cargo run --locked --example test-data -- {{DIRECTORY}}

# The Debian package; its path is the last line.
package:
    packaging/build

# What a heartbeat costs, beside nginx (needs nginx and openssl).
compare *ARGS:
    cargo build --release --locked --example load-generator
    tests/long/load/compare {{ARGS}}

# The pieces of a heartbeat, one by one.
bench:
    cargo bench --locked --bench pieces

# Power cuts and damaged files in thousands (minutes).
long:
    CRASH_POINTS=2000 cargo test --locked --lib power_cut -- --nocapture
    DAMAGED_FILES=2000 cargo test --locked --lib damaged_file_is -- --nocapture
