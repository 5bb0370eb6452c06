"""The door to ipset: `ipset` as a child process. A script is carried out line by line, up to the first that fails."""

import errno
import re

from tortie.kernel.child import Child
from tortie.kernel.errors import KernelError, code_said

DOOR = "ipset"
_PREFIX = re.compile(r"^ipset v[\d.]+: *", re.M)


def restore(script: str) -> None:
    """Carry out a script. Raises: KernelError with ipset's own words; lines before the one that failed hold."""
    _run(["ipset", "restore"], script, "change sets")


def save() -> str:
    """All sets of the calling thread's network namespace, in the words that `restore` takes. Raises: KernelError."""
    return _run(["ipset", "save"], "", "list sets")


def counts() -> dict[str, int]:
    """How many members each set of the calling thread's network namespace has. Raises: KernelError."""
    name, found = "", {}
    for line in _run(["ipset", "list", "-terse"], "", "count members of sets").splitlines():
        what, _, value = line.partition(": ")
        if what == "Name":
            name = value
        elif what == "Number of entries" and value.isdecimal():
            found[name] = int(value)
    return found


def _run(words: list[str], script: str, thing: str) -> str:
    done = Child(DOOR, words, script, "ipset").finish()
    if done.code:
        said = " ".join(_PREFIX.sub("", done.error).split()) or "ipset said nothing"
        code = errno.EBUSY if "in use by a kernel component" in said else code_said(said)
        raise KernelError(DOOR, thing, code, said)
    return done.output
