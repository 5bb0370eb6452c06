"""`tortie selector test`."""

import json
import sys
from typing import BinaryIO, TextIO

import click

from tortie.apps.ctl.show import out
from tortie.apps.failure import Code, Failure
from tortie.model.selector import InvalidSelector, parse_selector

MOST_BYTES = 1 << 20
"""A line of a batch; longer ones get an error."""


@click.group()
def command() -> None:
    """Try label selectors.

    \b
    Examples:
      tortie selector test 'role == "web"' --labels role=web,zone=a
      tortie selector test --batch < cases.jsonl
    """


@command.command()
@click.argument("expression", required=False, metavar="[EXPR]")
@click.option("--labels", default="", metavar="K=V,...", help="The labels to match.")
@click.option("--batch", is_flag=True, help='Read lines {"selector": ..., "labels": {...}}; answer each with one line.')
def test(expression: str | None, labels: str, batch: bool) -> int:
    """Print whether a selector matches labels: true (exit code 0) or false (1).

    \b
    Examples:
      tortie selector test 'has(hep) && hep == "redis-host"' --labels hep=redis-host
      echo '{"selector": "all()", "labels": {}}' | tortie selector test --batch
    """
    if batch:
        if expression is not None or labels:
            raise click.UsageError(
                "--batch reads selectors and labels from standard input; leave out EXPR and --labels"
            )
        answer_lines(sys.stdin.buffer, sys.stdout)
        return 0
    if expression is None:
        raise click.UsageError("which selector? give EXPR, or --batch")
    given = _labels(labels)
    try:
        selector = parse_selector(expression)
    except InvalidSelector as error:
        raise Failure(Code.USAGE, f"invalid selector: column {error.column}: {error}") from None
    matches = selector.matches(given)
    out("true" if matches else "false")
    return 0 if matches else 1


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
