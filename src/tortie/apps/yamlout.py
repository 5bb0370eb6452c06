"""JSON values as YAML that every reader takes for what they are.

PyYAML quotes what YAML 1.1 as it knows it would misread; the readers of `projectcalico.org/v3` documents read more
words and numbers (reference cli.md section 4: `y`, `1e3`), so text stays plain only where nobody could misread it.
"""

import re

import yaml

_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_PLAIN = r"[A-Za-z_][A-Za-z0-9_./-]*|\d+\.\d+\.\d+\.\d+(/\d+)?"
_Base: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc, valid-type]
    """Quotes by our rule, writes no aliases, and indents lists as people do."""

    def ignore_aliases(self, data: object) -> bool:
        """Everything is written out."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    is_plain = re.fullmatch(_PLAIN, value) and value.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if is_plain else '"')


_Dumper.add_representer(str, _text)


def to_yaml(value: object, *, is_sorted: bool = True) -> str:
    """The value as one YAML document, keys sorted or as they come; without what a terminal would obey."""
    return _dumped(value, is_flow=False, is_sorted=is_sorted)


def to_flow(value: object) -> str:
    """The value in braces and brackets, on one line, keys as they come."""
    return _dumped(value, is_flow=True, is_sorted=False).rstrip("\n")


def _dumped(value: object, *, is_flow: bool, is_sorted: bool) -> str:
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=is_flow, sort_keys=is_sorted, width=2**20, allow_unicode=True
    )
    # What is beyond ASCII stands between double quotes, where it can be escaped.
    return text if text.isascii() else "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if char <= "\uffff" else f"\\U{ord(char):08x}"
