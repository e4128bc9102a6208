#!/usr/bin/env bash
# The notices of everything that is linked into the programs: packaging/notices.sh CHECKOUTS, where CHECKOUTS is the
# folder with the packages' sources (.build/checkouts).
set -euo pipefail
checkouts=$1

cat <<'END'
The programs of this package contain, beside their own code, the Swift standard library, Foundation and libdispatch
(Apache License 2.0 with Runtime Library Exception; https://www.swift.org), ICU (Unicode License) as a part of
Foundation, and code of the Swift packages below.
END
for folder in "$checkouts"/*/; do
    name=$(basename "$folder")
    # The tests' oracle, which no program contains.
    [[ $name != Yams ]] || continue
    printf '\n%s\n%s\n' "$name" "$(printf '=%.0s' $(seq ${#name}))"
    license=$(sed -n '/[^[:space:]]/{s/^[[:space:]]*//p;q}' "$folder"LICENSE*)
    printf '%s; the text of the Apache License 2.0 is in /usr/share/common-licenses on Debian.\n' "$license"
    if compgen -G "${folder}NOTICE*" >/dev/null; then
        printf '\n'
        sed -e 's/[[:space:]]*$//' "$folder"NOTICE*
    fi
done
