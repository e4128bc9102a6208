#!/usr/bin/env python3
"""Writes the manual page of a program, in mdoc(7): packaging/manual.py PROGRAM SECTION REST DATE >PAGE

Names, synopsis, options and commands come from what the program says of itself (--experimental-dump-help of
swift-argument-parser), so that the page cannot lag behind; what it cannot say (exit status, files, examples) is the
file REST. DATE is the page's, as YYYY-MM-DD.
"""

import datetime
import json
import os
import re
import subprocess
import sys


def escape(text):
    """Text of one line, safe for roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    # A line that begins with a dot would be a request, and a quote would begin an argument.
    return re.sub(r"^\.", r"\\&.", text).replace('"', "\\(dq")


def word(text):
    """One argument of a macro, which could be taken for a macro itself."""
    return "\\&" + escape(text)


def paragraphs(text):
    lines = []
    for paragraph in text.strip().split("\n\n"):
        if lines:
            lines.append(".Pp")
        # Every sentence on its own line, as mdoc wants it.
        joined = " ".join(paragraph.split())
        lines += [escape(sentence) for sentence in re.split(r"(?<=[.:;!?]) (?=[A-Z'])", joined)]
    return lines


def value(argument):
    return argument.get("valueName") or "value"


def flag_macro(name):
    # Fl writes one hyphen itself.
    return "Fl " + ("\\-" if name["kind"] == "long" else "") + escape(name["name"])


def argument_macro(argument):
    if argument["kind"] != "option":
        return ""
    return f" Ar {word(value(argument))}" + (" ..." if repeats(argument) else "")


def positional_macro(argument):
    return f"Ar {word(value(argument))}" + (" ..." if argument["isRepeating"] else "")


def synopsis(path, command, common):
    lines = [".Nm", *(f".Cm {word(name)}" for name in path[1:])]
    for argument in arguments(command, common):
        if argument["kind"] == "positional":
            macro = positional_macro(argument)
            lines.append(f".Op {macro}" if argument["isOptional"] else "." + macro)
            continue
        macro = flag_macro(argument["preferredName"]) + argument_macro(argument)
        lines.append(f".Op {macro}" if argument["isOptional"] or argument.get("defaultValue") else "." + macro)
    return lines


def repeats(argument):
    return argument["isRepeating"] or argument.get("parsingStrategy") == "upToNextOption"


def arguments(command, common=()):
    """What a command takes, without what every command takes and without --help and --version."""
    shown = []
    for argument in command.get("arguments", []):
        names = {name["name"] for name in argument.get("names", [])}
        if argument["shouldDisplay"] and argument not in common and not names & {"help", "version"}:
            shown.append(argument)
    return shown


def item(argument):
    if argument["kind"] == "positional":
        lines = [".It " + positional_macro(argument)]
    else:
        forms = [flag_macro(name) for name in argument["names"]]
        lines = [".It " + " , ".join(forms) + argument_macro(argument)]
    about = " ".join(filter(None, [argument.get("abstract"), argument.get("discussion")])).strip()
    lines += paragraphs(about) if about else []
    words = argument.get("allValues")
    # Not where the sentence names them itself.
    if words and not all(word in about for word in words):
        lines.append(escape("One of " + ", ".join(words) + "."))
    default = argument.get("defaultValue")
    if default and argument["kind"] != "flag":
        lines.append(f"Default: {escape(default)}.")
    return lines


# What the parser adds to every command.
HELP = [".It Fl \\-version", "Show the version.", ".It Fl h , Fl \\-help", "Show what there is."]


def items(list_of_arguments, last=()):
    lines = [line for argument in list_of_arguments for line in item(argument)] + list(last)
    return [".Bl -tag -width Ds", *lines, ".El"] if lines else []


def leaves(command, path):
    """Every command that does something, with the words that call it."""
    path = path + [command["commandName"]]
    children = [child for child in command.get("subcommands", []) if child["commandName"] != "help"]
    if not children:
        yield path, command
    for child in children:
        yield from leaves(child, path)


def page(tool, section, rest, date):
    root = tool["command"]
    name = root["commandName"]
    commands = list(leaves(root, []))
    has_subcommands = len(commands) > 1
    common = []
    if has_subcommands:
        common = [a for a in arguments(commands[0][1]) if all(a in arguments(c) for _, c in commands)]

    lines = [f".Dd {date:%B} {date.day}, {date.year}", f".Dt {name.upper()} {section}", ".Os vpcctl"]
    abstract = root["abstract"].rstrip(".")
    lines += [".Sh NAME", f".Nm {name}", f".Nd {escape(abstract[:1].lower() + abstract[1:])}"]
    lines.append(".Sh SYNOPSIS")
    for path, command in commands:
        lines += synopsis(path, command, common)
    lines.append(".Sh DESCRIPTION")
    lines += paragraphs(root.get("discussion") or root["abstract"])
    if has_subcommands:
        lines.append(".Sh COMMANDS")
        for path, command in commands:
            lines += [".Ss " + " ".join(path[1:]), *paragraphs(command.get("abstract", ""))]
            if command.get("discussion"):
                lines += [".Pp", *paragraphs(command["discussion"])]
            lines += items(arguments(command, common))
        lines += [".Sh OPTIONS OF EVERY COMMAND", *items(common, HELP)]
    else:
        lines += [".Sh OPTIONS", *items(arguments(root), HELP)]
    return "\n".join(lines) + "\n" + rest


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    program, section, rest, date = sys.argv[1:]
    dump = subprocess.run(
        [os.path.abspath(program), "--experimental-dump-help"], check=True, capture_output=True, text=True
    )
    with open(rest, encoding="utf-8") as file:
        text = file.read()
    sys.stdout.write(page(json.loads(dump.stdout), section, text, datetime.date.fromisoformat(date)))


if __name__ == "__main__":
    main()
