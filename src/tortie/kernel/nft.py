"""The door to nftables: `nft` as a child process. One script is one transaction: all of it, or nothing.

Because: libnftables is GPL-2 and tortie is not; nft's text is also what an operator sees.
"""

import errno
import json
import re
import struct
import subprocess
import threading
from contextlib import suppress
from typing import Any

from tortie.kernel import dump
from tortie.kernel.errors import KernelError, code_said

DOOR = "nft"
_TIMEOUT_S = 60
# Source: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h: NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN and GETGEN,
# NFTA_GEN_ID.
_NETLINK_NETFILTER = 12
_SUBSYSTEM, _NEW_GENERATION, _GET_GENERATION = 10 << 8, 15, 16
_GENERATION_ID = 1
_NFGENMSG_BYTES = 4
_MISSING = "nft is not installed: install the package nftables"
_REMEDIES = {
    errno.EPERM: "run as root, or give the process CAP_NET_ADMIN",
    errno.EOPNOTSUPP: "the kernel lacks part of nf_tables",
}
_ERROR = re.compile(r"^(?:\S+?:(?P<line>\d+):\d+-\d+: |\S+: )?Error: (?P<text>.*)$", re.M)


def run(script: str, *, check_only: bool = False) -> None:
    """Carry out a script in one transaction, or only check it.

    Raises: KernelError with nft's own message and the line of the script; nothing was changed then.
    """
    words = _words(check_only)
    done = _child(words, script)
    if done.returncode:
        raise _failed("check script" if check_only else "run script", done.stderr)


class Running:
    """A script that nft is carrying out; `finish` waits for it. Nothing else may change the table meanwhile."""

    def __init__(self, script: str) -> None:
        try:
            self._child = subprocess.Popen(
                _words(False), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        except FileNotFoundError as error:
            raise KernelError(DOOR, "run nft", errno.ENOENT, _MISSING) from error
        # The script is handed over now, so that nft works while the caller does something else.
        self._feeder = threading.Thread(target=self._feed, args=(script,), daemon=True)
        self._feeder.start()

    def _feed(self, script: str) -> None:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError), self._child.stdin as pipe:
            pipe.write(script)

    def finish(self) -> None:
        """Raises: KernelError as `run` does."""
        assert self._child.stderr is not None
        with self._child.stderr as stderr:
            killer = threading.Timer(_TIMEOUT_S, self._child.kill)
            killer.start()
            try:
                said = stderr.read()
                code = self._child.wait()
            finally:
                killer.cancel()
                self._feeder.join()
        if code < 0:
            raise KernelError(DOOR, "run script", errno.ETIMEDOUT)
        if code:
            raise _failed("run script", said)


def list_table(family: str, name: str, *, terse: bool = True) -> dict[str, Any] | None:
    """A table as nft's JSON, None where there is none. `terse` leaves out the elements of sets."""
    words = ["nft", "-j", *(["-t"] if terse else []), "list", "table", family, name]
    return _listed(words, f"list table {family} {name}")


def has_table(family: str, name: str) -> bool:
    """Whether there is such a table; there is none where nft or nf_tables is missing. Raises: KernelError."""
    try:
        return list_table(family, name) is not None
    except KernelError as error:
        if error.code in (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
            return False
        raise


def counters(family: str, table: str) -> dict[str, tuple[int, int]]:
    """Packets and bytes of a table's named counters; empty where there is no such table."""
    found = _listed(["nft", "-j", "list", "counters", "table", family, table], f"list counters of {family} {table}")
    if found is None:
        return {}
    named = (entry["counter"] for entry in found["nftables"] if "counter" in entry)
    return {counter["name"]: (counter["packets"], counter["bytes"]) for counter in named}


def generation() -> int:
    """How often the rule sets of the calling thread's network namespace were changed, by whomever; every transaction
    counts once, and packets that meet `update` rules do not.

    Raises: KernelError.
    """
    request = dump.Request(
        door=DOOR,
        thing="ask for the generation",
        family=_NETLINK_NETFILTER,
        kind=_SUBSYSTEM | _GET_GENERATION,
        answer=_SUBSYSTEM | _NEW_GENERATION,
        body=bytes(_NFGENMSG_BYTES),
        is_single=True,
    )
    (found,) = dump.read(request, _read_generation) or (None,)
    if found is None:
        raise KernelError(DOOR, request.thing, errno.EBADMSG, "the kernel's answer does not tell it")
    return found


def _read_generation(body: memoryview) -> int | None:
    offset = _NFGENMSG_BYTES
    while offset < len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            raise ValueError(f"an attribute of {length} bytes")
        if kind == _GENERATION_ID:
            (value,) = struct.unpack_from(">I", body, offset + 4)
            return int(value)
        offset += length + 3 & ~3
    return None


def _words(check_only: bool) -> list[str]:
    return ["nft", *(["-c"] if check_only else []), "-f", "-"]


def _listed(words: list[str], thing: str) -> dict[str, Any] | None:
    done = _child(words, "")
    if done.returncode:
        failure = _failed(thing, done.stderr)
        if failure.code == errno.ENOENT:
            return None
        raise failure
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise KernelError(DOOR, thing, errno.EBADMSG, f"nft's answer is no JSON: {error}") from error
    return found


def _child(words: list[str], script: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, input=script, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise KernelError(DOOR, "run nft", errno.ENOENT, _MISSING) from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(DOOR, " ".join(words), errno.ETIMEDOUT) from error


def _failed(thing: str, said: str) -> KernelError:
    """The first error that nft names; those after it usually follow from it."""
    found = _ERROR.search(said)
    message = found["text"].strip() if found else " ".join(said.split()) or "nft said nothing"
    code = code_said(message)
    where = f"line {found['line']}: " if found and found["line"] else ""
    remedy = _REMEDIES.get(code)
    return KernelError(DOOR, thing, code, f"{where}{message}" + (f"; {remedy}" if remedy else ""))
