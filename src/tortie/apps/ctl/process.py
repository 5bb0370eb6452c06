"""The process of `tortie`: what comes before the first import that takes time, and how it ends; `main.run` is between.

So nothing of ours is imported at the top, nor any other library.
"""

import gc
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDOUT, _STDERR = 1, 2
_USUAL_COLLECTION = gc.get_threshold()
_RARE_COLLECTION = 100_000
"""New objects until the collector walks through what there is. A command that shows some documents makes 30,000."""


def main() -> NoReturn:
    """Run the command of this process's arguments, and exit with its code (reference ux.md section D).

    Because: the interpreter takes 10 ms of a command's 60 to take itself apart, which the kernel does in one. What a
    command opened it has closed by then; only what was printed is still to be written. And of the 50 that are left,
    garbage collection took 5: loading modules makes many objects, and next to no garbage.
    """
    gc.set_threshold(_RARE_COLLECTION)
    try:
        _prepare_streams()
        from tortie.apps.ctl.main import failed, run, unwritten

        code = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130  # while something of ours was loaded; `run` knows about the rest
    except BrokenPipeError:
        code = 1  # the reader went away (`| head`): nobody is left to tell
    except OSError as error:
        code = failed(unwritten(error))
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _prepare_streams() -> None:
    """See that the standard streams are there and take any text, whatever the shell and the locale say.

    Because: a stream that was closed (`>&-`) would leave its number to the next file that is opened. Output fails as
    soon as it is written, input as soon as it is read, and nobody hears what goes to a closed stderr.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_WRONLY))
    if sys.stdout is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stderr is None:
        os.open(os.devnull, os.O_WRONLY)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.BufferedWriter(_Output(descriptor, "wb", closefd=False)),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=descriptor == _STDERR or os.isatty(descriptor),
        )
        for descriptor in (_STDOUT, _STDERR)
    )


class _Output(io.FileIO):
    """A stream whose failures can be told from all others: its number is their file name."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """How much was written. Raises: OSError."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = self.fileno()
            raise


def collect_as_usual() -> None:
    """For a command that stays: garbage is collected as often as in any process of Python."""
    gc.set_threshold(*_USUAL_COLLECTION)
