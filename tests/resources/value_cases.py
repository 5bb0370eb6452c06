"""Cases of the value types, for a field of that type at that path."""

from field_cases import ABSENT, FieldCase, Reads, Refused, Spec

NUMBER, LIST = Refused(1, "TT1103"), Refused([], "TT1103")
BAD_NAMES = [Refused(each, "TT1112") for each in ("A", "-a", "a..b", "a_b", "a" * 254)]
BAD_SELECTORS = [Refused("a ==", "TT1201"), Refused("all() || " * 120 + "all()", "TT1110"), NUMBER]
GLOBAL = Refused("global()", "TT1202")
BAD_PORT_NAMES = [Refused(each, "TT1107") for each in ("HTTP", "a" * 16, "80", "a--b", "http_x")]
MAC = "0a:1b:2c:3D:4e:5f"


def anything(path: str, *, around: Spec | None = None) -> FieldCase:
    """Any text, or none."""
    return FieldCase(path, ["some words", Reads("", ABSENT)], [NUMBER, LIST, Refused({}, "TT1103")], around or {})


def full_text(path: str, *values: object) -> FieldCase:
    """Text that may be empty and is kept."""
    return FieldCase(path, [*values], [NUMBER, LIST])


def name(path: str, *, is_required: bool = False) -> FieldCase:
    """A DNS subdomain."""
    empty = Reads("", ABSENT)
    accepted = ["a", "node-1.example.org", "a" * 253, *([] if is_required else [empty])]
    required = [Refused("", "TT1102"), Refused(None, "TT1102")] if is_required else []
    return FieldCase(path, accepted, [*BAD_NAMES, NUMBER, *required])


def boolean(path: str) -> FieldCase:
    """True or false, both of which are kept."""
    return FieldCase(path, [True, False], [Refused("true", "TT1103"), NUMBER])


def flag(path: str, around: Spec | None = None) -> FieldCase:
    """A boolean whose default is false."""
    return FieldCase(path, [True, Reads(False, ABSENT)], [Refused("true", "TT1103"), NUMBER], around or {})


def word(path: str, *values: str, empty: object = None, around: Spec | None = None) -> FieldCase:
    """One of the words in their exact case. `empty`: what empty text counts as; None: it is refused."""
    others = [values[0].swapcase(), f"{values[0]} ", "other", *([""] if empty is None else [])]
    accepted = [*values, *([] if empty is None else [Reads("", empty)])]
    return FieldCase(path, accepted, [*(Refused(each, "TT1104") for each in others), NUMBER, LIST], around or {})


def number(path: str, first: int, last: int, *, around: Spec | None = None, kept: object = None) -> FieldCase:
    """A whole number in that range. `kept`: what zero is kept as, if not as zero."""
    accepted: list[object] = [first if first or kept is None else Reads(0, kept), last, Reads(float(last), last)]
    refused = [Refused(first - 1, "TT1105"), Refused(last + 1, "TT1105")]
    wrong = [Refused(each, "TT1103") for each in (1.5, f"{last}", True)]
    return FieldCase(path, accepted, [*refused, *wrong], around or {})


def duration(path: str) -> FieldCase:
    """A length of time."""
    accepted = ["90s", "1m30s", "1.5h", ".5s", "5.s", "10us", "5µs", "5μs", "+5s", Reads(0, "0s"), "0"]
    bad = ("", "5", "-1s", "1 s", "soon", "1s0", "00", "1d", ".s", "+-1s")
    return FieldCase(path, accepted, [*(Refused(each, "TT1116") for each in bad)])


def address(path: str, version: int | None = None, *, is_required: bool = False) -> FieldCase:
    """An address without a mask."""
    four, six = ["10.0.0.1", "::ffff:10.0.0.1"], ["fd00::1"]
    accepted: list[object] = [*(four if version != 6 else ()), *(six if version != 4 else ())]
    others = {4: six, 6: four, None: []}[version]
    bad = ["10.0.0.1/32", "10.0.0.300", "010.0.0.1", "fe80::1%eth0", *others]
    empty = Refused("", "TT1106")
    if not is_required:
        accepted.append(Reads("", ABSENT))
    refused = [*(Refused(each, "TT1106") for each in bad), NUMBER, *([empty] if is_required else [])]
    return FieldCase(path, accepted, refused)


def as_number(path: str, *, around: Spec | None = None, zero: object = 0) -> FieldCase:
    """The number of an autonomous system."""
    accepted = [64512, 4294967295, Reads("65000", 65000), Reads("1.10", 65546), Reads("65535.65535", 4294967295)]
    accepted = [*accepted, Reads(0, zero), Reads(4.0, 4)]
    forms = [*(Refused(each, "TT1116") for each in ("1.1.1", "-1", "x", "", "1.")), Refused(1.1, "TT1103")]
    ranges = [Refused(each, "TT1105") for each in ("65536.0", "0.65536", -1, 4294967296, "4294967296")]
    return FieldCase(path, accepted, [*forms, *ranges, Refused(True, "TT1103")], around or {})


def selector(path: str, *, around: Spec | None = None) -> FieldCase:
    """A selector in which `global()` is not looked for."""
    return FieldCase(path, ["all()", "a == 'b'", "global()", Reads("", ABSENT)], BAD_SELECTORS, around or {})


def community(path: str, *, around: Spec | None = None) -> FieldCase:
    """A community's value."""
    bad = ("65536:1", "1:65536", "1", "1:2:3:4", "4294967296:1:1", "a:b", "", "1:-1")
    return FieldCase(path, ["65535:0", "4294967295:1:0"], [Refused(each, "TT1334") for each in bad], around or {})


def conditions(*kinds: str) -> FieldCase:
    """The list of `status.conditions`."""
    return FieldCase("status.conditions", [[]], [Refused({}, "TT1103"), Refused([None], "TT1103", "[0]")])


def mapping(path: str, *accepted: object, least: Spec | None = None, around: Spec | None = None) -> FieldCase:
    """An object, with what of it is accepted. `least`: what it has to hold."""
    unknown = Refused({**(least or {}), "x": 1}, "TT1101", ".x")
    return FieldCase(path, [*accepted], [Refused([], "TT1103"), Refused("x", "TT1103"), unknown], around or {})


def open_mapping(path: str, *accepted: object) -> FieldCase:
    """An object of others, who may add to it."""
    kept = [Reads({"theirs": {"x": [1]}, **each}, each) if isinstance(each, dict) else each for each in accepted]
    return FieldCase(path, kept, [Refused([], "TT1103"), Refused("x", "TT1103")])


def items(path: str, *accepted: object, empty: bool = True) -> FieldCase:
    """A list; an empty one counts as absent."""
    refused = [Refused({}, "TT1103"), Refused("x", "TT1103"), Refused([None], "TT1103", "[0]")]
    return FieldCase(path, [*accepted, *([Reads([], ABSENT)] if empty else [])], refused)
