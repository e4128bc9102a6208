"""Checks answers of the server against docs/openapi.json.

usage: check_openapi.py DOCUMENT ANSWERS UNSEEN

ANSWERS has a JSON object a line: method, path, status, contentType, body. Every one must be documented, with a body of
the documented shape; and every documented answer must be among them, but for those that UNSEEN names, a line each:
"500 GET /v1/plan".
"""

import json
import re
import sys

import jsonschema

document = json.load(open(sys.argv[1]))
answers = [json.loads(line) for line in open(sys.argv[2]) if line.strip()]
unseen = {line.strip() for line in open(sys.argv[3]) if line.strip()}
problems = []
documented = set()
seen = set()

for path, item in document["paths"].items():
    for method, operation in item.items():
        for status in operation["responses"]:
            documented.add(f"{status} {method.upper()} {path}")


def resolved(value):
    while "$ref" in value:
        target = document
        for name in value["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        value = target
    return value


def check_schema(schema, value, what):
    whole = dict(schema, components=document["components"])
    validator = jsonschema.Draft202012Validator(whole)
    for error in validator.iter_errors(value):
        problems.append(f"{what}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")


def check(answer):
    route = answer["path"].split("?")[0]
    for path, item in document["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", path), route):
            break
    else:
        problems.append(f"{route} is not documented")
        return
    method = answer["method"].lower()
    if method not in item:
        problems.append(f"{answer['method']} {path} is not documented")
        return
    what = f"{answer['status']} {answer['method']} {path}"
    response = item[method]["responses"].get(str(answer["status"]))
    if response is None:
        problems.append(f"{what} is not documented")
        return
    seen.add(what)
    content = resolved(response)["content"]
    kind = answer["contentType"].split(";")[0]
    if kind not in content:
        problems.append(f"{what}: {kind} is not documented")
    elif kind == "application/json":
        check_schema(content[kind]["schema"], json.loads(answer["body"]), what)
    elif kind == "application/x-ndjson":
        for line in answer["body"].splitlines():
            check_schema({"$ref": "#/components/schemas/Event"}, json.loads(line), what)


for answer in answers:
    check(answer)
for what in sorted(documented - seen - unseen):
    problems.append(f"{what} was never seen")
for what in sorted(unseen - documented):
    problems.append(f"{what} is not documented, and named all the same")
for schema in ("openapi", "info", "paths", "components"):
    if schema not in document:
        problems.append(f"the document has no {schema}")
print("\n".join(problems) if problems else f"{len(answers)} answers, {len(seen)} of {len(documented)} kinds")
sys.exit(1 if problems else 0)
