"""`tortie edit`: documents in an editor, again and again until they can be stored. What the user typed is never lost.

fetch ──▶ file ──▶ editor ──▶ decode, write ──▶ done: the file goes
            ▲                      │
            └─ problems as comments┘   gives up, or nothing can be done: the file stays, and where is said
"""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tortie.apps.answers import Document
from tortie.apps.ctl.fetching import Fetched
from tortie.apps.ctl.show import err
from tortie.apps.failure import Code, Failure
from tortie.apps.yamlout import to_yaml

HEAD = """\
# Edit this document, save it, and leave the editor. Lines that begin with # are left out.
# Nothing is changed if you save it as it is, or empty.
"""
MARK = "#! "
"""Begins each line that tells what is wrong."""


def edit(fetched: Fetched, write: Callable[[list[Document], str], int], run: Callable[[Path], None]) -> int | None:
    """What `write` returned, or None if nothing was to be changed.

    `write` gets the documents that were changed and the file's name; INVALID and USAGE failures of it open the editor
    again. Raises: Failure, saying where the file is if it has something that is not stored.
    """
    original = _text(fetched.items)
    path = _new_file(original)
    try:
        return _rounds(fetched, original, path, write, run)
    except (Failure, KeyboardInterrupt) as error:
        if not path.exists() or _bare(path) in ("", _bare_text(original)):
            path.unlink(missing_ok=True)
            raise
        kept = f"your changes are in {path}: correct them, then `tortie replace -f {path}`, or delete the file"
        if isinstance(error, KeyboardInterrupt):
            err(f"tortie: interrupted; {kept}")
            raise
        raise Failure(error.code, f"{error.message}; {kept}", error.problems) from None


def _rounds(
    fetched: Fetched,
    original: str,
    path: Path,
    write: Callable[[list[Document], str], int],
    run: Callable[[Path], None],
) -> int | None:
    refused = ""
    while True:
        run(path)
        text = _bare(path)
        if text in ("", _bare_text(original)):
            path.unlink(missing_ok=True)
            return None
        has_places = True
        try:
            changed = _changed(fetched, text, str(path))
            has_places = False
            code = write(changed, str(path)) if changed else None
        except Failure as failure:
            if failure.code not in (Code.INVALID, Code.USAGE):
                raise
            if text == refused:
                raise Failure(failure.code, "saved again without a correction", failure.problems) from None
            refused = text
            _write(path, _told(failure, has_places=has_places) + text)
        else:
            path.unlink(missing_ok=True)
            return code


def _told(failure: Failure, *, has_places: bool) -> str:
    """What is wrong, as comments over the text; `has_places`: the lines are those of the text, not of what was sent."""
    head = HEAD.count("\n") + max(1, len(failure.problems))
    lines = []
    for problem in failure.problems:
        _, _, what = problem["text"].partition(f":{problem['line']}:{problem['column']}: ")
        where = f"line {problem['line'] + head}, column {problem['column']}: " if has_places else ""
        lines.append(where + (what or problem["text"]))
    return "".join(f"{MARK}{' '.join(line.splitlines())}\n" for line in lines or [failure.message]) + HEAD


def _changed(fetched: Fetched, text: str, source: str) -> list[Document]:
    """The documents of the text that are not as they were fetched. Raises: Failure."""
    from tortie.apps.decoding import decode_files
    from tortie.resources.plain import read_plain_documents

    # Judged here for the places in the file; the target judges what is sent.
    decode_files([{"source": source, "text": text}])
    before = {fetched.key(one): one for one in fetched.items}
    changed = []
    for value in read_plain_documents(text, source):
        document: Document = {**value} if isinstance(value, dict) else {}
        key = fetched.key(document)
        if key not in before:
            rule = "apiVersion, kind, name and namespace cannot be edited, and each resource is there once"
            raise Failure(Code.USAGE, f"{rule}; create another resource with tortie create")
        if document != before[key]:
            changed.append(document)
    return changed


def _text(documents: Sequence[Document]) -> str:
    return HEAD + "---\n".join(to_yaml(one) for one in documents)


def _bare(path: Path) -> str:
    try:
        return _bare_text(path.read_bytes().decode("utf-8", "surrogateescape"))
    except OSError as error:
        raise Failure(Code.FAILED, f"{path}: {error.strerror}; the editor took it away: nothing was changed") from None


def _bare_text(text: str) -> str:
    """The text without the comments that begin a line: ours go and come, and the store keeps none."""
    kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    return kept if kept.strip() else ""


def _new_file(text: str) -> Path:
    """A file that nobody else can read: documents may hold what is nobody's business."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="tortie-edit-", suffix=".yaml")
    except OSError as error:
        raise Failure(
            Code.FAILED, f"no file to edit in: {error.strerror}; name a folder for it with TMPDIR=..."
        ) from None
    os.close(descriptor)
    _write(Path(name), text)
    return Path(name)


def _write(path: Path, text: str) -> None:
    try:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise Failure(Code.FAILED, f"{path}: {error.strerror}; make room, or set TMPDIR=...") from None


def run_editor(path: Path) -> None:
    """Let the user edit the file. Raises: Failure where there is no editor or it fails."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    remedy = "name one that works with EDITOR=..."
    try:
        words = shlex.split(command)
        done = subprocess.run([*words, str(path)], check=False)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise Failure(Code.USAGE, f"the editor {command[:60]!r} does not run: {why}; {remedy}") from None
    if done.returncode:
        text = f"the editor {command[:60]!r} ended with exit code {done.returncode}"
        raise Failure(Code.FAILED, f"{text}; {remedy}, or save and leave it in the usual way")
