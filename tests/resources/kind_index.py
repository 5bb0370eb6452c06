"""Writes `src/tortie/resources/index.py` from the kinds: run it with the package's Python after adding or renaming one.

It reads the folder of its own checkout, so that a kind that is not installed yet is found too.
"""

import importlib
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
INDEX = SOURCE / "tortie/resources/index.py"
HEAD = '''"""The names of every kind, so that a word finds its kind without loading the others.

Written by tests/resources/kind_index.py from the folder `kinds`; a test holds the two equal.
"""

from typing import NamedTuple


class Names(NamedTuple):
    """What a kind is called, and by what its documents name it."""

    plural: str
    aliases: tuple[str, ...]
    api_version: str
    word: str


INDEX: dict[str, Names] = {
'''


def index_text() -> str:
    """What the file should hold: a line for each module of the folder."""
    lines = []
    for path in sorted((SOURCE / "tortie/resources/kinds").glob("[!_]*.py")):
        kind = importlib.import_module(f"tortie.resources.kinds.{path.stem}").KIND
        if path.stem != kind.name.lower():
            raise SystemExit(f"{path}: the file of {kind.name} has to be called {kind.name.lower()}.py")
        words = [f"            {_quoted(word)}," for word in kind.aliases]
        aliases = "\n".join(["(", *words, "        )"]) if len(words) > 1 else f"({''.join(words).strip()})"
        facts = (_quoted(kind.plural), aliases, _quoted(kind.api_version), _quoted(kind.word))
        # with a comma at the end, which keeps the formatter from joining the lines
        lines += [f"    {_quoted(kind.name)}: Names(", *(f"        {fact}," for fact in facts), "    ),"]
    return HEAD + "\n".join(lines) + "\n}\n"


def _quoted(word: str) -> str:
    return f'"{word}"'


if __name__ == "__main__":
    sys.path.insert(0, str(SOURCE))
    INDEX.write_text(index_text(), encoding="utf-8")
