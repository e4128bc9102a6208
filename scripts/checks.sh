# Sourced by tests that are shell scripts: one line for each thing that is as it shall be; the first that is not ends
# the test.
# shellcheck shell=bash

# check WHAT COMMAND [ARGUMENT…]: the command's output is shown when it fails.
check() {
    local what=$1 status=0
    shift
    # Not in the condition of an `if`: there a function would go on after a failed command.
    (set -e; "$@") >/tmp/check 2>&1 &
    wait $! || status=$?
    if ((status == 0)); then
        echo "ok    $what"
    else
        echo "FAIL  $what: $* (status $status)"
        sed 's/^/      /' /tmp/check
        exit 1
    fi
}

# The status that a command is expected to end with, and the command.
ends_with() {
    local expected=$1 status=0
    shift
    "$@" || status=$?
    ((status == expected)) || { echo "status $status"; return 1; }
}

contains() { grep -q -- "$1" "$2"; }
prints() { [[ $("${@:2}") == "$1" ]] || { "${@:2}"; return 1; }; }
prints_nothing() { prints '' "$@"; }
