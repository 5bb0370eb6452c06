"""The door to ipset: `ipset` as a child process. A script is carried out line by line, up to the first that fails."""

import errno
import re
import subprocess

from tortie.kernel.errors import KernelError, code_said

DOOR = "ipset"
_TIMEOUT_S = 60
_PREFIX = re.compile(r"^ipset v[\d.]+: *", re.M)


def restore(script: str) -> None:
    """Carry out a script. Raises: KernelError with ipset's own words; lines before the one that failed hold."""
    _run(["ipset", "restore"], script, "change sets")


def save() -> str:
    """All sets of the calling thread's network namespace, in the words that `restore` takes. Raises: KernelError."""
    return _run(["ipset", "save"], "", "list sets")


def _run(words: list[str], script: str, thing: str) -> str:
    try:
        done = subprocess.run(words, input=script, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise KernelError(DOOR, "run ipset", errno.ENOENT, "it is not installed: install the package ipset") from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(DOOR, " ".join(words), errno.ETIMEDOUT) from error
    if done.returncode:
        said = " ".join(_PREFIX.sub("", done.stderr).split()) or "ipset said nothing"
        code = errno.EBUSY if "in use by a kernel component" in said else code_said(said)
        raise KernelError(DOOR, thing, code, said)
    return done.stdout
