"""What commands take on a datastore file, few documents and many; and the slowest of many hostile selectors.

No agent, no namespaces: processes of `tortie`, timed from outside, and the parser in this process.
"""

import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.figures import Figure, Unmeasured
from bench.lab import TORTIE, Document, document, environment, folder
from model.adversarial import selectors
from tortie.model.selector import InvalidSelector, parse_selector

SELECTORS = 10_000
SLOWEST = 20
"""How many of the slowest selectors are timed again, because anything may have disturbed them the first time."""


def measure(commands: int, loads: int, many: int) -> Sequence[Figure]:
    """Every figure of commands. Raises: Unmeasured."""
    with folder() as place:
        return [*_few(place, commands), *_many(place, loads, many), _selectors()]


def _few(place: Path, count: int) -> Sequence[Figure]:
    """On a datastore that holds one policy."""
    target = ("--datastore", str(place / "few.db"))
    files = [_file(place / f"policy-{number}.yaml", [_policy(number, "web")]) for number in range(2)]
    _run(*target, "apply", "-f", files[0])
    get, apply, validate = [], [], []
    for number in range(count):
        get.append(_run(*target, "get", "gnp"))
        apply.append(_run(*target, "apply", "-f", files[(number + 1) % 2]))
        validate.append(_run("validate", "-f", files[0]))
    return [
        Figure("cli.get.file", "ms", tuple(get), note="get gnp from a datastore file"),
        Figure(
            "cli.apply.file", "ms", tuple(apply), note="a changed policy into a datastore file, which no agent serves"
        ),
        Figure("cli.validate", "ms", tuple(validate), note="one policy"),
    ]


def _many(place: Path, count: int, many: int) -> Sequence[Figure]:
    """With that many policies of three rules each."""
    thousand = _file(place / "thousand.yaml", [_policy(number) for number in range(1_000)])
    everything = _file(place / "many.yaml", [_policy(number) for number in range(many)])
    files = [_file(place / f"one-{number}.yaml", [_policy(number, "policy-7")]) for number in range(2)]
    fleet = _file(place / "fleet.yaml", [*map(_policy, range(1_000)), *map(_endpoint, range(1_000))])
    validate, load, listing, one, lint = [], [], [], [], []
    for number in range(count):
        target = ("--datastore", str(place / f"many-{number}.db"))
        validate.append(_run("validate", "-f", thousand))
        lint.append(_run("lint", fleet, code=1))
        load.append(_run(*target, "apply", "-f", everything))
        listing.append(_run(*target, "get", "gnp"))
        one += [_run(*target, "apply", "-f", file) for file in files * 2]
    return [
        Figure("cli.validate.1000", "ms", tuple(validate), note="1,000 policies in one file"),
        Figure("cli.lint.1000", "ms", tuple(lint), note="1,000 policies and 1,000 endpoints in one file"),
        Figure(f"store.load.{many}", "ms", tuple(load), note=f"apply of {many:,} policies in one transaction"),
        Figure(f"store.list.{many}", "ms", tuple(listing), note=f"get of {many:,} policies"),
        Figure(f"cli.apply.file.{many}", "ms", tuple(one), note=f"a changed policy beside {many:,} others"),
    ]


def _selectors() -> Figure:
    """Parsing, and one match: the slowest of all, by the least of its times."""
    texts = list(selectors(SELECTORS))
    slowest = sorted(texts, key=_judged, reverse=True)[:SLOWEST]
    worst = max(slowest, key=lambda text: min(_judged(text) for _ in range(5)))
    samples = tuple(_judged(worst) for _ in range(15))
    note = f"the slowest of {SELECTORS:,}: {len(worst):,} characters that begin {worst[:24]!r}"
    return Figure("selector.adversarial.worst", "ms", samples, note=note)


def _judged(text: str) -> float:
    begin = time.process_time_ns()
    with suppress(InvalidSelector):
        parse_selector.__wrapped__(text).matches({"a": "b"})
    return (time.process_time_ns() - begin) / 1e6


def _policy(number: int, name: str = "") -> Document:
    ingress = [
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"nets": [f"10.{number >> 8 & 255}.{number & 255}.0/24"]},
            "destination": {"ports": [number + 1]},
        },
        {"action": "Deny", "source": {"selector": f'zone == "z{number % 50}"'}},
    ]
    spec = {
        "order": number,
        "selector": f'role == "r{number % 100}"',
        "ingress": ingress,
        "egress": [{"action": "Allow"}],
    }
    return document("GlobalNetworkPolicy", name or f"policy-{number}", spec)


def _endpoint(number: int) -> Document:
    labels = {"role": f"r{number % 100}", "zone": f"z{number % 50}"}
    spec = {
        "node": f"node-{number}",
        "interfaceName": "eth0",
        "expectedIPs": [f"192.168.{number >> 8}.{number & 255}"],
    }
    return document("HostEndpoint", f"host-{number}", spec, labels=labels)


def _file(path: Path, documents: Sequence[Document]) -> str:
    """A YAML stream, in block style as people write it."""
    path.write_text("".join(f"---\n{_block(each)}" for each in documents))
    return str(path)


def _block(value: object, indent: str = "") -> str:
    if not isinstance(value, dict):
        return f" {json.dumps(value)}\n"
    lines = "".join(f"{indent}{key}:{_block(inner, indent + '  ')}" for key, inner in value.items())
    return f"\n{lines}" if indent else lines


def _run(*words: str, code: int = 0) -> float:
    """Milliseconds of the process, which has to end with that exit code. Raises: Unmeasured."""
    started = time.monotonic_ns()
    done = subprocess.run(
        [str(TORTIE), *words], env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    elapsed = (time.monotonic_ns() - started) / 1e6
    if done.returncode != code:
        raise Unmeasured(f"tortie {' '.join(words)}: exit {done.returncode}: {done.stderr[-2_000:]}")
    return elapsed
