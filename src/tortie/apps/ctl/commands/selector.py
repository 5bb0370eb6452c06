"""`tortie selector test`."""

import json
import sys
from typing import BinaryIO, TextIO

import click

from tortie.apps.answers import SelectedAnswer, SelectorAnswer
from tortie.apps.ctl.names import some
from tortie.apps.ctl.options import choice, filenames, recursive, with_target
from tortie.apps.ctl.show import err, named, out, out_json, table
from tortie.apps.ctl.target import choose
from tortie.apps.files import read_files

MOST_BYTES = 1 << 20
"""A line of a batch; longer ones get an error."""
MOST_TERMS = 3
"""Reasons that are shown for one thing; JSON has them all."""


@click.group()
def command() -> None:
    """Try label selectors.

    \b
    Examples:
      tortie selector test 'role == "web"'
      tortie selector test 'role == "web"' --labels role=web,zone=a
    """


@command.command()
@with_target
@click.argument("expression", required=False, metavar="[EXPR]")
@click.option("--labels", default=None, metavar="K=V,...", help="Labels to match, instead of endpoints and sets.")
@click.option("--batch", is_flag=True, help='Read lines {"selector": ..., "labels": {...}}; answer each with one line.')
@filenames
@recursive
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def test(
    expression: str | None, labels: str | None, batch: bool, names: tuple[str, ...], recursive: bool, output: str
) -> int:
    """Show which endpoints and network sets a selector matches, and why it does not match the others.

    They are those of the datastore, or of documents with -f. With --labels, print whether the selector matches these
    labels: true (exit code 0) or false (1). Exit code 1 also where nothing matches.

    \b
    Examples:
      tortie selector test 'has(hep) && role == "db"'
      echo '{"selector": "all()", "labels": {}}' | tortie selector test --batch
    """
    if batch:
        if expression is not None or labels or names or output != "text":
            raise click.UsageError("--batch reads selectors and labels from standard input; leave out everything else")
        answer_lines(sys.stdin.buffer, sys.stdout)
        return 0
    if expression is None:
        raise click.UsageError("which selector? give EXPR, or --batch")
    if labels is None:
        return _shown(_asked(expression, names, recursive=recursive), output)
    if names or output != "text":
        raise click.UsageError("--labels are matched alone; leave out -f and -o")
    from tortie.apps.selecting import parsed

    matches = parsed(expression).matches(_labels(labels))
    out("true" if matches else "false")
    return 0 if matches else 1


def _asked(expression: str, names: tuple[str, ...], *, recursive: bool) -> SelectorAnswer:
    if not names:
        return choose(choice()).select(expression)
    from tortie.apps.decoding import decode_files
    from tortie.apps.selecting import parsed, select

    selector = parsed(expression)
    return select(decode_files(read_files(names, recursive=recursive)), selector)


def _shown(answer: SelectorAnswer, output: str) -> int:
    """Print the answer; 1 where nothing matches."""
    for document, why in answer["damaged"].items():
        err(f"tortie: {document} is damaged: {why}, or delete it")
    if output == "json":
        out_json(answer)
        return 0 if answer["matches"] else 1
    matches, others = answer["matches"], answer["others"]
    out(f"{answer['selector']} matches {len(matches)} of {len(matches) + len(others)} endpoints and network sets")
    if matches:
        out("\n" + table({"heading": ["MATCHES", "LABELS"], "rows": [[named(one), _held(one)] for one in matches]}))
    if others:
        rows = [[named(one), some(one["why_not"], MOST_TERMS), _held(one)] for one in others]
        out("\n" + table({"heading": ["DOES NOT MATCH", "BECAUSE", "LABELS"], "rows": rows}))
    for hint in answer["hints"]:
        out(f"\nhint: {hint}")
    return 0 if matches else 1


def _held(one: SelectedAnswer) -> str:
    """Its labels; behind an inherited one the profile that it comes from."""
    labels = one["labels"].items()
    return ",".join(
        f"{key}={label['value']}" + (f" (profile {label['profile']})" if label["profile"] else "")
        for key, label in labels
    )


def answer_lines(source: BinaryIO, sink: TextIO) -> None:
    """Answer each line with one line, at once, whatever is in it."""
    while line := source.readline(MOST_BYTES + 1):
        if len(line) > MOST_BYTES:
            while not line.endswith(b"\n") and (line := source.readline(MOST_BYTES)):
                pass
            found: dict[str, object] = {"error": f"the line is longer than {MOST_BYTES} bytes", "column": MOST_BYTES}
        else:
            found = _answer(line)
        sink.write(json.dumps(found) + "\n")
        sink.flush()


def _answer(line: bytes) -> dict[str, object]:
    try:
        case = json.loads(line)
    except json.JSONDecodeError as error:
        return {"error": f"the line is not JSON: {error.msg}", "column": error.colno}
    except (ValueError, RecursionError):
        return {"error": "the line is not JSON, or is nested too deeply", "column": 1}
    match case:
        case {"selector": str(expression), **rest} if rest.keys() <= {"labels"}:
            labels = rest.get("labels", {})
        case _:
            return {"error": 'expected {"selector": text, "labels": {key: text}}', "column": 1}
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        return {"error": "labels: expected a map of text to text", "column": 1}
    from tortie.model.selector import InvalidSelector, parse_selector

    try:
        selector = parse_selector(expression)
    except InvalidSelector as error:
        return {"error": str(error), "column": error.column}
    return {"match": selector.matches(labels), "canonical": selector.canonical}


def _labels(text: str) -> dict[str, str]:
    labels = {}
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--labels: {pair[:40]!r} is no label; write key=value, separated by commas")
        labels[key] = value
    return labels
