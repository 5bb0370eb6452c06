"""A file of the user with another text: the whole of it or nothing, its owner and mode as they were."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from tortie.apps.answers import SourceText
from tortie.apps.failure import Code, Failure


def rewrite(file: SourceText) -> None:
    """Put the text in the place of what the file holds; through a link, in the file that it leads to.

    Raises: Failure FAILED, with the file as it was.
    """
    path = Path(os.path.realpath(file["source"]))
    new = ""
    try:
        descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file["text"].encode("utf-8", "surrogateescape"))
        shutil.copymode(path, new)
        owner = path.stat()
        os.chown(new, owner.st_uid, owner.st_gid)
        Path(new).replace(path)
    except OSError as error:
        if new:
            with suppress(OSError):
                Path(new).unlink()
        raise Failure(
            Code.FAILED, f"{path}: {error.strerror}; it is as it was: make it writable, or see --diff"
        ) from None
