"""Documents that were damaged on purpose (T-SEC-1): valid ones of every kind, and what hostile or careless people do.

    valid document ─▶ tree: types swapped, names and values replaced, nested, doubled ─▶ text ─▶ bytes: cut, flipped

A seed makes the same ones. Those that are large are few, and come apart (`giants`).
"""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml

from apps.seeds import seeds

EXAMPLES = Path(__file__).parents[2] / "examples"
ODD = [
    *(None, True, 0, -1, 1, 255, 256, 65_536, 2**31, 2**63, 2**64, 10**400, 1.5, -0.0, 1e308, "", " ", "~", "x", "*"),
    *("a" * 254, "ä", "\u202e", "\x85", "\ufeff", "10.0.0.0/33", "::/129", "10.0.0.1/8", "256.1.1.1", "1:2", "20:21"),
    *("has(", "!" * 2_000, "(" * 1_100, "has(a) &&" * 200, "0x", "-", "--", "..", "../../etc/passwd", "%s%n", "{{x}}"),
    *([], {}, [[]], [None], {"": ""}, {"a": None}, [{}], {"<<": {}}, "null", "yes", "1e3", "$(id)", "';--", "\u0000"),
]
NUMBERS = [
    ".nan",
    ".inf",
    "-.inf",
    "1e999",
    "9" * 5_000,
    "0x" + "f" * 400,
    "0" * 70,
    "1_000",
    "0b2",
    "0o8",
    "-0",
    "+1",
    "1e-999",
]
MARKS = [
    *(
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "%TAG ! x\n",
        "&a ",
        "*a ",
        "*b",
        "<<: *a\n",
        "!x ",
        "!!binary ",
        "!!python/object:os.system ",
    ),
    *(
        "? ",
        "- ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "|\n",
        ">-\n",
        "\t",
        "\r",
        "\n",
        "#",
        ",",
        "@",
        "`",
        "\ufeff",
        "\u2028",
    ),
    *(
        "\0",
        "\x1b[2J",
        "\x7f",
        "\ud800",
        "[" * 200,
        "{a: " * 200,
        "- " * 200,
        "&a [" * 50,
        "kind: Tier\n",
        "items: ",
        "spec: ",
    ),
]
BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
Tree = Any
"""A document as JSON has it; whatever a mutation makes of it."""


def mutated(count: int, seed: int = 11) -> Iterator[bytes]:
    """That many damaged documents, of every kind in turn."""
    random = Random(seed)
    valid = _valid()
    for number in range(count):
        yield _mutated(valid[number % len(valid)], random)


def _valid() -> list[Tree]:
    found: list[Tree] = [json.loads(text) for text in seeds().values()]
    for path in sorted(EXAMPLES.glob("*.yaml")):
        found += [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    return found


def _mutated(valid: Tree, random: Random) -> bytes:
    tree = copy.deepcopy(valid)
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        random.choice(TREE)(tree, random)
    if random.random() < 0.1:
        tree = random.choice(WRAPS)(tree)
    text = _text(tree, random)
    for _ in range(random.choice((0, 0, 1, 1, 3))):
        text = random.choice(TEXT)(text, random)
    data = text.encode("utf-8", "surrogatepass")
    if random.random() < 0.2:
        data = random.choice(BYTES)(data, random)
    return data


def _places(tree: Tree) -> list[tuple[Tree, Any]]:
    """Every container with a key of it."""
    found: list[tuple[Tree, Any]] = []
    open_ones = [tree]
    while open_ones:
        one = open_ones.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else []
        for key in keys:
            found.append((one, key))
            open_ones.append(one[key])
    return found


def _place(tree: Tree, random: Random) -> tuple[Tree, Any] | None:
    places = _places(tree)
    return random.choice(places) if places else None


def _replace(tree: Tree, random: Random) -> None:
    if place := _place(tree, random):
        place[0][place[1]] = copy.deepcopy(random.choice(ODD))


def _remove(tree: Tree, random: Random) -> None:
    if place := _place(tree, random):
        del place[0][place[1]]


def _swap_type(tree: Tree, random: Random) -> None:
    if place := _place(tree, random):
        old = place[0][place[1]]
        place[0][place[1]] = random.choice([[old], {"x": old}, str(old), [old] * 3, {str(old)[:40]: old}])


def _rename(tree: Tree, random: Random) -> None:
    if (place := _place(tree, random)) and isinstance(place[0], dict):
        key = place[1]
        name = random.choice(
            [f"{key}x", str(key)[:-1], str(key).upper(), "", "<<", "x" * 300, "é", "a b", "0", "status"]
        )
        place[0][name] = place[0].pop(key)


def _multiply(tree: Tree, random: Random) -> None:
    lists = [one[key] for one, key in _places(tree) if isinstance(one[key], list) and one[key]]
    if lists:
        chosen = random.choice(lists)
        chosen.extend(copy.deepcopy(random.choices(chosen, k=random.choice((1, 60, 300)))))


def _nest(tree: Tree, random: Random) -> None:
    if place := _place(tree, random):
        deep: Tree = place[0][place[1]]
        for _ in range(random.choice((5, 99, 150))):
            deep = [deep] if random.random() < 0.5 else {"a": deep}
        place[0][place[1]] = deep


def _text(tree: Tree, random: Random) -> str:
    if random.random() < 0.5:
        return json.dumps(tree, ensure_ascii=random.random() < 0.5)
    return json.dumps(tree, indent=1) if random.random() < 0.3 else _block(tree)


def _block(tree: Tree, indent: str = "") -> str:
    """Block style for the outer levels; JSON, which is YAML, for what lies deeper."""
    if not isinstance(tree, dict) or not tree or len(indent) > 6:
        return json.dumps(tree, ensure_ascii=False) + "\n"
    lines = []
    for key, value in tree.items():
        inner = _block(value, indent + "  ")
        glue = "\n" if isinstance(value, dict) and value and len(indent) <= 4 else " "
        lines.append(f"{indent}{json.dumps(key)}:{glue}{inner}")
    return "".join(lines)


def _insert(text: str, random: Random) -> str:
    at = random.randint(0, len(text))
    return text[:at] + random.choice(MARKS) + text[at:]


def _number(text: str, random: Random) -> str:
    at = text.rfind(" ", 0, random.randint(0, len(text))) + 1
    end = next((i for i in range(at, len(text)) if text[i] in ",]}\n "), len(text))
    return text[:at] + random.choice(NUMBERS) + text[end:]


def _cut(text: str, random: Random) -> str:
    return text[: random.randint(0, len(text))]


def _twice(text: str, random: Random) -> str:
    """A key, or a whole line, once more."""
    lines = text.splitlines(keepends=True)
    if len(lines) > 1:
        line = random.randrange(len(lines))
        return "".join([*lines[: line + 1], lines[line], *lines[line + 1 :]])
    return text.replace('"kind":', '"kind": "Tier", "kind":', 1)


def _aliased(text: str, random: Random) -> str:
    return random.choice(
        (f"{BOMB}{text}", f"x: &a {{b: *a}}\n{text}", text.replace(": ", ": &a ", 2).replace("[", "[*a, ", 1))
    )


def _joined(text: str, random: Random) -> str:
    return text + random.choice(("---\n", "\n---\n", "\n...\n", "\n")) + text


TREE: Sequence[Callable[[Tree, Random], None]] = (
    _replace,
    _replace,
    _replace,
    _remove,
    _swap_type,
    _rename,
    _multiply,
    _nest,
)
WRAPS: Sequence[Callable[[Tree], Tree]] = (
    lambda tree: [tree],
    lambda tree: [[tree], tree],
    lambda tree: {"apiVersion": "projectcalico.org/v3", "kind": f"{tree.get('kind')}List", "items": [tree, tree]},
    lambda tree: {"apiVersion": "v1", "kind": "List", "items": [tree]},
    lambda tree: {"kind": tree},
    lambda tree: 1,
)
TEXT: Sequence[Callable[[str, Random], str]] = (_insert, _insert, _number, _number, _cut, _twice, _aliased, _joined)


def _flip(data: bytes, random: Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(random.randint(1, 5)):
        if damaged:
            damaged[random.randrange(len(damaged))] = random.randrange(256)
    return bytes(damaged)


BYTES: Sequence[Callable[[bytes, Random], bytes]] = (
    _flip,
    lambda data, random: data.decode("utf-8", "replace").encode("utf-16"),
    lambda data, random: data.decode("utf-8", "replace").encode("latin-1", "replace"),
    lambda data, random: b"\xff\xfe" + data,
    lambda data, random: data.replace(b'"', b"\xc0\x80", 1),
    lambda data, random: data.replace(b"\n", b"\r\n"),
    lambda data, random: data + b"\0" * 10,
)


SIZE = 10 * 1024 * 1024 - 1_000
_SET = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: web}\nspec:\n  nets:\n"
_POLICY = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: web}\nspec:\n"
GIANTS: dict[str, Callable[[], str | bytes]] = {
    "a text": lambda: "a" * SIZE,
    "a text of four bytes each": lambda: "\U0001f600" * (SIZE // 4),
    "text that grows when it is decoded": lambda: "é" * (SIZE // 2 - 4) + "\U0001f600",
    "open lists": lambda: "[" * SIZE,
    "open maps": lambda: "{a: " * (SIZE // 4),
    "lists in lists": lambda: "- " * (SIZE // 2),
    "explicit keys": lambda: "? " * (SIZE // 2),
    "items": lambda: "- a\n" * (SIZE // 4),
    "keys": lambda: "".join(f"k{number}: 1\n" for number in range(SIZE // 12)),
    "one key": lambda: "x: 1\n" * (SIZE // 5),
    "separators": lambda: "---\n" * (SIZE // 4),
    "documents": lambda: "---\nkind: Tier\n" * (SIZE // 15),
    "comments": lambda: "# x\n" * (SIZE // 4),
    "blank lines": lambda: "\n" * SIZE,
    "line breaks in a text": lambda: '"' + "\\n" * (SIZE // 2) + '"',
    "a selector": lambda: f'{_POLICY}  selector: "{"!" * SIZE}"\n',
    "a selector of 64 KB": lambda: f'{_POLICY}  selector: "{"has(a) && " * 6_500}has(a)"\n',
    "an alias bomb": lambda: BOMB,
    "aliases": lambda: f"a: &a {{b: [1, 2, 3]}}\nc: [{'*a,' * (SIZE // 3)}]\n",
    "anchors": lambda: "".join(f"k{number}: &a{number} 1\n" for number in range(SIZE // 20)),
    "merges": lambda: "a: &a {b: 1}\n" + "c: {<<: *a}\n" * (SIZE // 12),
    "a number": lambda: f"{_POLICY}  order: {'9' * SIZE}\n",
    "too many nets": lambda: (
        _SET + "".join(f"  - 10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32\n" for n in range(250_000))
    ),
    "nets that are wrong": lambda: _SET + "  - 10.0.0.0/33\n" * (SIZE // 17),
    "unknown fields": lambda: _POLICY + "".join(f"  f{number}: 1\n" for number in range(SIZE // 14)),
    "rules": lambda: f"{_POLICY}  ingress:\n" + "  - {action: Deny, protocol: TCP}\n" * (SIZE // 34),
    "too large": lambda: "a" * (11 << 20),
    "no characters": lambda: "\0" * SIZE,
    "no text": lambda: b"\xff" * SIZE,
    "half": lambda: b"\xe2\x82" * (SIZE // 2),
}
"""Documents of up to 11 MB that take the most time or memory, by what they are; none of them is valid."""


def giant(name: str) -> bytes:
    """The bytes of one of them."""
    made = GIANTS[name]()
    return made if isinstance(made, bytes) else made.encode()
