"""What `trace` and `explain` print about a host with every class of policy, as a person reads it."""

from pathlib import Path

import pytest

from apps.ctl.golden_texts import FOLDER, commands, rendered

FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_commands_print_what_the_file_says(path: Path) -> None:
    expected = path.read_text(encoding="utf-8")
    assert commands(expected)
    assert rendered(expected) == expected
