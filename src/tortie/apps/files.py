"""The files of `-f`: a file, a folder, or `-` for standard input."""

import os
import sys
from collections.abc import Iterator, Sequence

from tortie.apps.answers import SourceText
from tortie.apps.failure import Code, Failure

SUFFIXES = (".yaml", ".yml", ".json")
MOST_BYTES = 30 * 1024 * 1024
"""Together; what one request to an agent can carry."""


def read_files(names: Sequence[str], *, recursive: bool, may_be_empty: bool = False) -> list[SourceText]:
    """Every file in the order given, folders in lexical order; `may_be_empty`: a folder need not hold any.

    Raises: Failure USAGE.
    """
    files: list[SourceText] = []
    left = MOST_BYTES
    for name in names:
        for source, content in _contents(name, recursive, left, may_be_empty):
            left -= len(content)
            if left < 0:
                text = f"{source}: the files hold more than {MOST_BYTES >> 20} MiB; apply them in several steps"
                raise Failure(Code.USAGE, text)
            files.append({"source": source, "text": content.decode("utf-8", "surrogateescape")})
    return files


def _contents(name: str, recursive: bool, limit: int, may_be_empty: bool) -> Iterator[tuple[str, bytes]]:
    if not name:
        raise Failure(
            Code.USAGE, "empty file name (a variable that is not set?); give a readable file, or - for standard input"
        )
    one = name
    try:
        if name == "-":
            yield "stdin", sys.stdin.buffer.read(limit + 1)
            return
        found = list(_folder(name, recursive)) if os.path.isdir(name) else [name]
        if not found and not may_be_empty:
            raise Failure(
                Code.INVALID, f"no resources specified in directory {name}; its .yaml, .yml and .json files are read"
            )
        for one in found:
            if one is not name and os.path.exists(one) and not os.path.isfile(one):
                raise Failure(Code.USAGE, f"{one}: is no regular file; move it out of the folder")
            with open(one, "rb") as stream:
                yield one, stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        where = "stdin" if name == "-" else getattr(error, "filename", None) or one
        raise Failure(
            Code.USAGE,
            f"{where}: {reason}; give a readable file, a folder, or - for standard input",
        ) from None


def _folder(path: str, recursive: bool) -> Iterator[str]:
    for one in sorted(os.scandir(path), key=lambda entry: entry.name):
        if one.is_dir():
            if recursive and not one.is_symlink():
                yield from _folder(one.path, recursive)
        elif os.path.splitext(one.name)[1].lower() in SUFFIXES:
            yield one.path
