#!/usr/bin/env bash
# Runs Benchmarks/guard.py as root: scripts/guard.sh [NAME…] [--vpcctl FILE] [--record] [--events FILE].
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ $EUID -eq 0 ]]; then as_root=(); else as_root=(sudo --preserve-env "PATH=$PATH"); fi
exec "${as_root[@]}" python3 Benchmarks/guard.py "$@" </dev/null
