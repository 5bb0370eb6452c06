"""Every example document applies as it is."""

from pathlib import Path

import pytest

from tortie.resources.codec import decode_stored, decode_text, encode, lower

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid_and_can_be_lowered(path: Path) -> None:
    resources, problems = decode_text(path.read_bytes(), path.name)
    assert problems == []
    assert resources
    for resource in resources:
        lower(decode_stored(encode(resource)))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6
