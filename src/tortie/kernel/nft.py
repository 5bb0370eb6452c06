"""The door to nftables: `nft` as a child process. One script is one transaction: all of it, or nothing.

Because: libnftables is GPL-2 and tortie is not; nft's text is also what an operator sees.
"""

import errno
import json
import re
import struct
from typing import Any

from tortie.kernel import dump
from tortie.kernel.child import Child
from tortie.kernel.errors import KernelError, code_said
from tortie.kernel.messages import attributes, text

DOOR = "nft"
# Source: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h: NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN and GETGEN,
# NEWCHAIN and GETCHAIN, NEWRULE and GETRULE; NFTA_GEN_ID, NFTA_CHAIN_TABLE and NAME, NFTA_RULE_TABLE, CHAIN and
# EXPRESSIONS, NFTA_LIST_ELEM, NFTA_EXPR_NAME and DATA, NFTA_COUNTER_PACKETS. linux/netfilter.h: NFPROTO_INET, IPV4 and
# IPV6.
_NETLINK_NETFILTER = 12
_SUBSYSTEM, _NEW_GENERATION, _GET_GENERATION = 10 << 8, 15, 16
_NEW_CHAIN, _GET_CHAIN, _NEW_RULE, _GET_RULE = 3, 4, 6, 7
_GENERATION_ID = 1
_CHAIN_TABLE, _CHAIN_NAME = 1, 3
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS = 1, 2, 4
_ELEMENT, _EXPRESSION_NAME, _EXPRESSION_DATA, _COUNTER_PACKETS = 1, 1, 2, 2
_FAMILIES, _OF_VERSION = {"inet": 1, "ip": 2, "ip6": 10}, {4: "ip", 6: "ip6"}
_NFGENMSG_BYTES = 4
_REMEDIES = {
    errno.EPERM: "run as root, or give the process CAP_NET_ADMIN",
    errno.EOPNOTSUPP: "the kernel lacks part of nf_tables",
}
_ERROR = re.compile(r"^(?:\S+?:(?P<line>\d+):\d+-\d+: |\S+: )?Error: (?P<text>.*)$", re.M)


def run(script: str, *, check_only: bool = False) -> None:
    """Carry out a script in one transaction, or only check it.

    Raises: KernelError with nft's own message and the line of the script; nothing was changed then.
    """
    done = _start(_words(check_only), script).finish()
    if done.code:
        raise _failed("check script" if check_only else "run script", done.error)


class Running:
    """A script that nft is carrying out; `finish` waits for it. Nothing else may change the table meanwhile."""

    def __init__(self, script: str) -> None:
        self._child = _start(_words(False), script)

    def finish(self) -> None:
        """Raises: KernelError as `run` does."""
        done = self._child.finish()
        if done.code:
            raise _failed("run script", done.error)


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
    for kind, value in attributes(body[_NFGENMSG_BYTES:]):
        if kind == _GENERATION_ID:
            return int.from_bytes(value, "big")
    return None


def holds(family: str, table: str, *, chain: str, rules: int) -> bool:
    """Whether a table has that chain, and so many rules in all its chains. Raises: KernelError.

    Because: nft reads all elements of all sets before it lists a rule, also where it is told not to list them.
    """
    request = dump.Request(
        door=DOOR,
        thing=f"look for chain {chain}",
        family=_NETLINK_NETFILTER,
        kind=_SUBSYSTEM | _GET_CHAIN,
        answer=_SUBSYSTEM | _NEW_CHAIN,
        body=bytes([_FAMILIES[family], 0, 0, 0]) + text(_CHAIN_TABLE, table) + text(_CHAIN_NAME, chain),
        is_single=True,
    )
    try:
        dump.read(request, bytes)
    except KernelError as error:
        if error.code == errno.ENOENT:
            return False
        raise
    return len(_rules(family, text(_RULE_TABLE, table), f"list rules of {table}")) == rules


def _rules(family: str, of: bytes, thing: str) -> list[bytes]:
    request = dump.Request(
        door=DOOR,
        thing=thing,
        family=_NETLINK_NETFILTER,
        kind=_SUBSYSTEM | _GET_RULE,
        answer=_SUBSYSTEM | _NEW_RULE,
        body=bytes([_FAMILIES[family], 0, 0, 0]) + of,
    )
    return dump.read(request, bytes)


def rule_counts(version: int, table: str, chain: str, places: slice) -> tuple[int, list[int]]:
    """How many rules a chain has of iptables' nft variant, and the packets that those in these places counted, in their
    order; 0 for one that counts nothing. A chain that is not there has no rules.

    Because: iptables-save takes ten times as long, since it says what all rules mean.
    Raises: KernelError.
    """
    thing = f"list rules of {chain}"
    rules = _rules(_OF_VERSION[version], text(_RULE_TABLE, table) + text(_RULE_CHAIN, chain), thing)
    try:
        return len(rules), [_read_packets(rule) for rule in rules[places]]
    except (struct.error, ValueError, LookupError) as error:
        raise KernelError(DOOR, thing, errno.EBADMSG, f"malformed answer: {error}") from error


def _read_packets(rule: bytes) -> int:
    for kind, expressions in attributes(memoryview(rule)[_NFGENMSG_BYTES:]):
        if kind != _RULE_EXPRESSIONS:
            continue
        for _, expression in attributes(expressions):
            parts = dict(attributes(expression))
            if bytes(parts.get(_EXPRESSION_NAME, b"")).rstrip(b"\0") == b"counter" and _EXPRESSION_DATA in parts:
                return int.from_bytes(dict(attributes(parts[_EXPRESSION_DATA]))[_COUNTER_PACKETS], "big")
    return 0


def _words(check_only: bool) -> list[str]:
    return ["nft", *(["-c"] if check_only else []), "-f", "-"]


def _listed(words: list[str], thing: str) -> dict[str, Any] | None:
    done = _start(words).finish()
    if done.code:
        failure = _failed(thing, done.error)
        if failure.code == errno.ENOENT:
            return None
        raise failure
    try:
        found: dict[str, Any] = json.loads(done.output)
    except ValueError as error:
        raise KernelError(DOOR, thing, errno.EBADMSG, f"nft's answer is no JSON: {error}") from error
    return found


def _start(words: list[str], script: str = "") -> Child:
    return Child(DOOR, words, script, "nftables")


def _failed(thing: str, said: str) -> KernelError:
    """The first error that nft names; those after it usually follow from it."""
    found = _ERROR.search(said)
    message = found["text"].strip() if found else " ".join(said.split()) or "nft said nothing"
    code = code_said(message)
    where = f"line {found['line']}: " if found and found["line"] else ""
    remedy = _REMEDIES.get(code)
    return KernelError(DOOR, thing, code, f"{where}{message}" + (f"; {remedy}" if remedy else ""))
