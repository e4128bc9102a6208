#!/usr/bin/env bash
# Runs benchmarks as root: scripts/bench.sh [NAME…]; see Benchmarks/run.py for what it takes and where results go.
#
#   SIZES    instead of each benchmark's own: 10k,100k
#   ROUNDS   how often everything is repeated
#   QUICK=1  small sizes and one round
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
options=()
[[ -z ${SIZES:-} ]] || options+=(--sizes "$SIZES")
[[ -z ${ROUNDS:-} ]] || options+=(--rounds "$ROUNDS")
[[ -z ${QUICK:-} ]] || options+=(--quick)
if [[ $EUID -eq 0 ]]; then as_root=(); else as_root=(sudo --preserve-env "PATH=$PATH"); fi
exec "${as_root[@]}" python3 Benchmarks/run.py "${options[@]}" "$@"
