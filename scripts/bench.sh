#!/usr/bin/env bash
# Builds the benchmarks and runs them: scripts/bench.sh [ROUTES [ROUNDS]]. Needs root, for network namespaces.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../Benchmarks"
swift build -c release --product vpcbench >&2
mkdir -p .build/limit
cc -O2 -Wall -Wextra -o .build/limit/routes limit/routes.c
exec python3 run.py "$PWD/.build/release/vpcbench" "$PWD/.build/limit/routes" "$@"
