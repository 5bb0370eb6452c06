"""What an agent is told where it runs: parameters in its environment (FELIX_...) and in its file of parameters.

Both are read the way documents are, by `resources/felix`; only the reading of the file is here. They are an aid for
hosts that come from elsewhere: what concerns tortie itself (node, datastore, socket) is not taken from them.
Source: reference config.md section 1.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tortie.apps.defaults import FELIX_CONFIG
from tortie.apps.failure import Code, Failure
from tortie.model.settings import FelixSettings
from tortie.resources.felix import named
from tortie.resources.felix.conflicts import conflicts
from tortie.resources.felix.levels import Level, environment_level, file_level, problems
from tortie.resources.felix.settings import settings_of
from tortie.resources.felix.syntax import Unreadable

MOST_BYTES = 1 << 20


def told_here() -> list[Level]:
    """What an agent that is started from here, with this environment, would be told. Raises: Failure USAGE."""
    return told(os.environ, Path(os.environ.get("TORTIE_FELIX_CONFIG") or FELIX_CONFIG))


def told(variables: Mapping[str, str], path: Path) -> list[Level]:
    """The levels of environment and file, strongest first; a file that does not exist says nothing.

    Raises: Failure USAGE, for a file that cannot be read.
    """
    return [environment_level(variables), *_of_file(path)]


def _of_file(path: Path) -> list[Level]:
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Failure(Code.USAGE, f"{path}: cannot be read: {error.strerror}; correct or remove it") from None
    if len(content) > MOST_BYTES:
        raise Failure(Code.USAGE, f"{path}: larger than {MOST_BYTES >> 20} MiB; this is no file of parameters")
    try:
        return [file_level(content.decode("utf-8"), str(path))]
    except (Unreadable, UnicodeDecodeError) as error:
        raise Failure(Code.USAGE, f"{path}: {error}; correct it") from None


def settings_told(levels: Sequence[Level]) -> list[FelixSettings]:
    """What tortie acts on of the levels. Raises: Failure USAGE naming every value that an agent must not go on with."""
    fatal = [
        f"{level.source}: {saying.place}: {reading.problem}"
        for level in levels
        for _, saying, reading in problems(level)
        if reading.is_fatal
    ]
    if fatal:
        raise Failure(Code.USAGE, "; ".join(fatal) + "; correct or remove it")
    return [settings_of(level) for level in levels]


def remarks(levels: Sequence[Level]) -> list[str]:
    """What else is to be said of the levels, each in a sentence: nothing that was told is passed over silently."""
    lines = []
    for level in levels:
        for _, saying, reading in problems(level):
            lines.append(f"{level.source}: {saying.place}: {reading.problem}")
        for name, found in level.unknown.items():
            lines.append(f"{level.source}: {found[0].place}: there is no parameter {name!r}; it is passed over")
        for name, sayings in level.sayings.items():
            if len(sayings) > 1:
                lines.append(
                    f"{level.source}: {name} is set {len(sayings)} times; {sayings[0].place} holds, the last one"
                )
        if unused := [name for name in level.sayings if not (known := named(name)) or not known.is_used]:
            lines.append(f"{level.source}: not used by tortie: {', '.join(unused)}")
    return [*lines, *conflicts(levels)]
