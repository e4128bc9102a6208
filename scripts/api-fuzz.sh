#!/usr/bin/env bash
# Asks the API of a vpcd of its own for whatever docs/openapi.json allows and for much that it does not, and compares the
# answers with it: schemathesis (https://schemathesis.readthedocs.io), from PyPI into .build/api-fuzz. As root, in a
# network namespace. Two minutes; the suite does not need it.
#
#   EXAMPLES   requests for each operation and phase (15)
#   SEED       of the random requests; another in every run by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=$PWD/.build/api-fuzz
if [[ ${1:-} != inside ]]; then
    swift build --product vpcd
    if [[ ! -x $tools/bin/schemathesis ]]; then
        python3 -m venv "$tools"
        "$tools/bin/pip" --quiet install 'schemathesis>=4,<5'
    fi
    exec unshare --net -- "$0" inside
fi

folder=$(mktemp -d)
daemon='' proxy=''
end() {
    if [[ -n $proxy ]]; then kill "$proxy" 2>/dev/null || true; fi
    if [[ -n $daemon ]]; then kill "$daemon" 2>/dev/null || true; wait "$daemon" || true; fi
    rm -rf "$folder"
}
trap end EXIT

ip link set lo up
ip link add u0 type veth peer name u1
ip link set u0 up
ip addr add 172.31.0.1/24 dev u0
cat >"$folder/vpcd.yaml" <<YAML
apiVersion: vpcctl.dev/v1
kind: AgentConfiguration
host: h1
manifests: $PWD/Examples/one-host.yaml
stateDirectory: $folder/state
socket: {path: $folder/vpcd.sock}
YAML
.build/debug/vpcd --config "$folder/vpcd.yaml" 2>"$folder/log" &
daemon=$!

# schemathesis speaks TCP only.
python3 - "$folder/vpcd.sock" <<'PYTHON' &
import asyncio
import sys


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def serve(reader, writer):
    other_reader, other_writer = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))
    other_writer.close()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 8080)
    await server.serve_forever()


asyncio.run(main())
PYTHON
proxy=$!
# Answers once both are there.
curl --silent --show-error --fail --retry 20 --retry-all-errors --retry-delay 1 --output /dev/null \
    http://127.0.0.1:8080/v1/status

# A manifest that fits the schema, a string, is rarely one that fits docs/manifest.md; events may go on for ever; and
# whether the host is ready depends on the kernel.
document=$PWD/docs/openapi.json
# It keeps notes in the current folder.
cd "$folder"
"$tools/bin/schemathesis" run "$document" --url http://127.0.0.1:8080 --max-examples "${EXAMPLES:-15}" \
    ${SEED:+--seed "$SEED"} --request-timeout 60 --continue-on-failure --exclude-checks positive_data_acceptance \
    --exclude-path /v1/events --exclude-path /readyz
kill -0 "$daemon"
