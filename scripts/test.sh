#!/usr/bin/env bash
# Runs all tests: those of the target LabTests, which need GRE and VRF devices, in the lab (scripts/lab.sh) on each of
# the kernels asked for, all others on the running kernel; then the quick guards of Benchmarks/guard.py, which are
# recorded for kernel 6.1. `make test` checks set-up and style first.
#
#   KERNEL              kernels for the lab (6.1); "6.1 6.12" for two, "host" for the running one
#   VPCCTL_SEEDS        seeds of the tests that draw, "1,2", or "fixed" for none that is new
#   VPCCTL_TEST_FILTER  only tests whose name matches this regular expression
#
# The last line is "total: N passed, N failed"; the status is 0 if nothing failed, was skipped or was missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

filter=${VPCCTL_TEST_FILTER:-}
bundle=.build/debug/vpcctlPackageTests.xctest
# Nothing here takes that long; a test that waits for ever must not.
limit=3600

# Tests name this to write what someone may want to see afterwards.
reports=$PWD/.build/test-reports
rm -rf "$reports"
mkdir -p "$reports"
export VPCCTL_LAB_OUT=$reports VPCCTL_LAB_TIMEOUT=$limit
# Into the virtual machine, too: what continuous integration finds, it finds again.
if [[ ${CI:-} == true ]]; then export VPCCTL_SEEDS=${VPCCTL_SEEDS:-fixed}; fi

# Swift Testing takes any pipe for a terminal.
[[ -t 1 ]] || export NO_COLOR=1

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo --preserve-env "$@"; fi
}

title() { printf '\n== %s\n' "$*"; }

title "build"
swift build --build-tests

# The test program itself, not `swift test`, which takes a minute to begin in emulation and tells less.
options=(--testing-library swift-testing --event-stream-version 0)
count=(scripts/count-tests.py)
if [[ -n $filter ]]; then
    options+=(--filter "$filter")
    count+=(--partial)
fi
lab_tests='^LabTests\.'
other_tests='^(?!LabTests\.)'

title "tests on the running kernel, $(uname -r)"
status=0
as_root timeout --kill-after 10 "$limit" "$bundle" "${options[@]}" --skip "$lab_tests" \
    --event-stream-output-path "$reports/native.jsonl" </dev/null || status=$?
count+=("native=$status=$reports/native.jsonl")

for kernel in ${KERNEL:-6.1}; do
    title "tests in the lab, kernel $kernel"
    status=0 SECONDS=0
    scripts/lab.sh --kernel "$kernel" -- "$bundle" "${options[@]}" --skip "$other_tests" \
        --event-stream-output-path "$reports/lab-$kernel.jsonl" || status=$?
    echo "(after $SECONDS s)"
    count+=("lab-$kernel=$status=$reports/lab-$kernel.jsonl")
done

# Counted on that kernel.
if [[ -z $filter && " ${KERNEL:-6.1} " == *" 6.1 "* ]]; then
    title "counts that are the same on any machine"
    status=0 SECONDS=0
    scripts/guard.sh changes packets --vpcctl .build/debug/vpcctl --events "$reports/guard.jsonl" || status=$?
    echo "(after $SECONDS s)"
    count+=("guard=$status=$reports/guard.jsonl")
fi

title "result"
python3 "${count[@]}"
