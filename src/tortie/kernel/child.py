"""A program that works for us and reads a script: how nft, iptables and ipset are called.

The script is a file in memory, so that nobody has to feed the program, and the caller may do something else meanwhile.
"""

import errno
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TextIO

from tortie.kernel.errors import KernelError

_TIMEOUT_S = 60
_NOEXEC_SEAL = 0x8  # Source: linux/memfd.h, MFD_NOEXEC_SEAL; Python 3.11 does not name it
_AS_IT_IS: Mapping[str, str] = {}


def _file_of(script: str) -> TextIO:
    """A file in memory, at its beginning. Raises: OSError."""
    try:
        # hardened hosts refuse files in memory that could be run (vm.memfd_noexec)
        number = os.memfd_create("script", os.MFD_CLOEXEC | _NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        number = os.memfd_create("script", os.MFD_CLOEXEC)  # before Linux 6.3
    file = os.fdopen(number, "w+", encoding="utf-8", errors="surrogateescape")
    file.write(script)
    file.seek(0)
    return file


class Said(NamedTuple):
    """What came of a program: its exit code, and what it said."""

    code: int
    output: str
    error: str


class Child:
    """A program that has been started. `package`: what to install where it is missing. `environment` is added to ours.

    Raises: KernelError, ENOENT where it is not installed.
    """

    def __init__(
        self, door: str, words: Sequence[str], script: str, package: str, environment: Mapping[str, str] = _AS_IT_IS
    ) -> None:
        self._door, self._words = door, words
        try:
            with _file_of(script) as written:
                self._process = subprocess.Popen(
                    words,
                    stdin=written,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    encoding="utf-8",
                    errors="surrogateescape",  # names of others may be anything
                    env={**os.environ, **environment},
                )
        except FileNotFoundError as error:
            remedy = f"{words[0]} is not installed: install the package {package}"
            raise KernelError(door, f"run {words[0]}", errno.ENOENT, remedy) from error
        except OSError as error:
            raise KernelError(door, f"run {words[0]}", error.errno or 0) from error

    def finish(self) -> Said:
        """Wait until it has ended, for a minute at most. Raises: KernelError, ETIMEDOUT; it is killed then."""
        with self._process as process:
            try:
                output, error = process.communicate(timeout=_TIMEOUT_S)
            except BaseException as reason:
                process.kill()
                if isinstance(reason, subprocess.TimeoutExpired):
                    raise KernelError(self._door, " ".join(self._words), errno.ETIMEDOUT) from reason
                raise
        return Said(process.returncode, output, error)
