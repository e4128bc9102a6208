#!/usr/bin/env bash
# Checks style: the Swift sources against .swift-format, the shell scripts given, and white space everywhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
status=0

swift format lint --strict --parallel --recursive Sources Benchmarks/Sources Package.swift || status=1
# In a test a forced unwrap is an assertion.
relaxed=$(sed -E 's/"(NeverForceUnwrap|NeverUseForceTry)": true/"\1": false/' .swift-format)
swift format lint --strict --parallel --recursive --configuration "$relaxed" Tests || status=1

if command -v shellcheck >/dev/null; then
    shellcheck "$@" || status=1
else
    echo "lint: shellcheck is not installed, shell scripts were not checked" >&2
fi
python3 scripts/count-tests.py --self-check || status=1
swift package dump-package | python3 scripts/check-imports.py || status=1
python3 scripts/check-suites.py || status=1

# A test of the other library would never be run, nor missed.
if grep -rn --include='*.swift' 'import XCTest' Tests; then
    echo "lint: tests are written with Swift Testing here" >&2
    status=1
fi
if git rev-parse --git-dir >/dev/null 2>&1; then
    # Golden files and the licence are as they have to be.
    text=(. ':!LICENSE' ':!Tests/*/Golden/*')
    if git grep -nIE '[[:blank:]]+$' -- "${text[@]}"; then
        echo "lint: space at the end of a line" >&2
        status=1
    fi
    if git grep -nIP '\t' -- "${text[@]}" ':!Makefile' ':!*.mk' ':!packaging/debian/rules'; then
        echo "lint: tabs" >&2
        status=1
    fi
fi
exit $status
