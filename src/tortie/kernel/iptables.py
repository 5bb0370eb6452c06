"""The door to iptables: `iptables-save` and `iptables-restore` of either variant, as child processes.

One script for `restore` is one transaction for each table in it: all of the table's lines, or none. The legacy variant
replaces a table as a whole by one system call, the nft variant sends one batch; both hold the lock of iptables
meanwhile, or wait for whoever has it.

The variants are two firewalls of one kernel: `iptables-legacy` (ip_tables) and `iptables-nft` (nf_tables).
"""

import errno
import re
from pathlib import Path
from shutil import which

from tortie.kernel.child import Child
from tortie.kernel.errors import KernelError, code_said

DOOR = "iptables"
LEGACY, NFT = "iptables-legacy", "iptables-nft"
VARIANTS = (NFT, LEGACY)
_PACKAGE = "iptables"
_LOCK_WAIT_S = 10
_OWN_LOCK = {"XTABLES_LOCKFILE": "/dev/null"}
_WORDS = {4: "iptables", 6: "ip6tables"}
_NAMES = {4: "ip_tables_names", 6: "ip6_tables_names"}
_VERSION = re.compile(r" v(\d+)\.(\d+)\.(\d+)")
_WITH_INSTRUCTIONS = (1, 8, 8)
_LINE = re.compile(r"line:? (\d+)")
_PREFIX = re.compile(r"^ip6?tables\S* v?[\d.]+ \(\w+\): *", re.M)
_REMEDIES = {
    errno.EPERM: "run as root, or give the process CAP_NET_ADMIN and CAP_NET_RAW",
    errno.ENOENT: "the kernel lacks this table, match or target",
}


def versions() -> tuple[int, ...]:
    """The IP versions that this kernel speaks: it may have been started without IPv6."""
    return (4, 6) if Path("/proc/sys/net/ipv6").is_dir() else (4,)


def missing(variant: str) -> tuple[str, ...]:
    """Programs of that variant that are not installed."""
    needed = (_program(variant, version, verb) for version in versions() for verb in ("save", "restore"))
    return tuple(program for program in needed if which(program) is None)


def has_instructions(variant: str) -> bool:
    """Whether that variant makes instructions of nf_tables of the ports of TCP and UDP that a rule names: nft, since
    1.8.8. Raises: KernelError."""
    if variant != NFT:
        return False
    said = _VERSION.search(Child(DOOR, [_program(variant, 4, "restore"), "--version"], "", _PACKAGE).finish().output)
    return said is not None and tuple(map(int, said.groups())) >= _WITH_INSTRUCTIONS


def default_variant() -> str | None:
    """The variant that the plain command stands for on this system, None where there is none."""
    try:
        said = Child(DOOR, ["iptables", "--version"], "", _PACKAGE).finish().output
    except KernelError:
        return None
    return NFT if "nf_tables" in said else LEGACY


def legacy_tables(version: int) -> tuple[str, ...] | None:
    """Tables of the legacy variant in the calling thread's network namespace; None where the kernel has not got it.

    Because: to list a legacy table makes it, and nobody can take it away again.
    """
    try:
        return tuple(Path(f"/proc/thread-self/net/{_NAMES[version]}").read_text().split())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KernelError(DOOR, "list legacy tables", error.errno or 0) from error


def save(variant: str, version: int, *, with_counters: bool = False) -> str:
    """All tables of that IP version that there are, as `iptables-save` prints them. Raises: KernelError."""
    if variant == LEGACY and not legacy_tables(version):
        return ""
    words = [_program(variant, version, "save"), *(["-c"] if with_counters else [])]
    return _output(Child(DOOR, words, "", _PACKAGE), "", f"list {variant}, IPv{version}")


class Restoring:
    """A script that iptables is carrying out, leaving alone what it does not name; `finish` waits for it.

    `is_alone`: nobody else knows this network namespace. The lock of iptables is one for all of them, and whoever
    changes tables elsewhere is not waited for then.
    """

    def __init__(self, variant: str, version: int, script: str, *, is_alone: bool = False) -> None:
        words = [_program(variant, version, "restore"), "--noflush", "--wait", str(_LOCK_WAIT_S)]
        self._script, self._thing = script, f"change {variant}, IPv{version}"
        self._child = Child(DOOR, words, script, _PACKAGE, _OWN_LOCK if is_alone else {})

    def finish(self) -> None:
        """Raises: KernelError with iptables' own words and the line; of that table nothing was changed then."""
        _output(self._child, self._script, self._thing)


def restore(variant: str, version: int, script: str, *, is_alone: bool = False) -> None:
    """Carry out a script. Raises: KernelError, as `Restoring.finish` does."""
    Restoring(variant, version, script, is_alone=is_alone).finish()


def _program(variant: str, version: int, verb: str) -> str:
    return f"{variant.replace('iptables', _WORDS[version])}-{verb}"


def _output(child: Child, script: str, thing: str) -> str:
    done = child.finish()
    if done.code == 0:
        return done.output
    said = " ".join(_PREFIX.sub("", done.error).split()) or "iptables said nothing"
    # iptables asks for sets, and its legacy variant for tables, through a raw socket.
    code = errno.EPERM if "Can't open socket" in said else code_said(said)
    line = _LINE.search(said)
    culprit = ""
    if line is not None and 0 < int(line[1]) <= len(lines := script.splitlines()):
        culprit = f": {lines[int(line[1]) - 1]}"
    remedy = _REMEDIES.get(code)
    raise KernelError(DOOR, thing, code, f"{said}{culprit}" + (f"; {remedy}" if remedy else ""))
