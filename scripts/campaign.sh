#!/usr/bin/env bash
# Draws connections until there are CASES of them (10,000), in scenarios of ever new seeds, and compares what becomes of each of
# their packets, before and after a drawn change of the policies, with what `vpcctl trace` says: hours, in the lab.
#
#   CASES    how many; SEED: the first seed (that of the day)
#   KERNEL   the lab's kernel (6.1)
#
# Stops at the first seed with a difference, which `VPCCTL_SEEDS=SEED make test FILTER=TraceAgreementTests` repeats.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cases=${CASES:-10000} seed=${SEED:-$(date +%Y%m%d)0} kernel=${KERNEL:-6.1}

export NO_COLOR=1
swift build --build-tests
count=0
while ((count < cases)); do
    log=$(mktemp)
    VPCCTL_SEEDS=$(seq -s, "$seed" $((seed + 4))) scripts/lab.sh --kernel "$kernel" -- .build/debug/vpcctlPackageTests.xctest \
        --testing-library swift-testing --filter 'TraceAgreementTests/establishedPacketsGoWhereTheTraceSays' >"$log" 2>&1 || {
        grep -aE '✘' "$log" | cut -c1-500
        echo "campaign: a difference within the seeds $seed to $((seed + 4)), after $count connections; the log is $log"
        exit 1
    }
    count=$((count + $(awk '/^trace agreement: [0-9]+ connections/ { sum += $3 } END { print sum + 0 }' "$log")))
    rm "$log"
    seed=$((seed + 5))
    echo "campaign: $count connections agree"
done
