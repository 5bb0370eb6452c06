"""The process of `tortie`: what comes before the first import that takes time, and how it ends; `main.run` is between.

So nothing of ours is imported at the top, nor any other library.
"""

import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

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
    from tortie.apps.ctl.main import failed, run
    from tortie.apps.failure import Code, Failure

    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        code = 1  # the reader went away (`| head`): nobody is left to tell
    except OSError as error:
        code = failed(Failure(Code.FAILED, f"standard output: {error.strerror}; what was printed is not all there"))
    with suppress(BrokenPipeError):
        sys.stderr.flush()
    os._exit(code)


def collect_as_usual() -> None:
    """For a command that stays: garbage is collected as often as in any process of Python."""
    gc.set_threshold(*_USUAL_COLLECTION)
