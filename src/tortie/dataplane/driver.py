"""What every driver offers: take the desired state's changes, make the kernel so, and say what is enforced.

Life: `take(delta)` notes what changed and is pure; `apply()` makes the kernel so and may be called again at any time;
`resync()` forgets what was read and checks the kernel against the desired state. A driver that cannot enforce part of
an endpoint's policy leaves that endpoint's last good state in place and says so in `status()`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tortie.model.desired import Delta
from tortie.model.packet import Direction, Packet
from tortie.model.verdict import Reason, RuleRef, Verdict
from tortie.model.xdp import XdpUse


class Unsupported(Exception):
    """A policy this driver cannot enforce. The message names policy, class and what would help."""


class Acceleration(Enum):
    """Where the untracked ingress of an interface is decided."""

    XDP = "xdp"
    TC = "tc"
    NETFILTER = "netfilter"
    NONE = "none"


class Established(Enum):
    """What a change of policy means for connections that exist: they stay; those stay that policy would allow now; or
    none does, and each has to be allowed anew."""

    KEEP = "keep"
    RECHECK = "recheck"
    KILL = "kill"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceStatus:
    """What is enforced on an interface now. `refused`: why its newest policy is not; the state before it stays.

    `xdp`: what was asked for; `unmet`: what is wrong where that cannot be had, although the policy is enforced.
    `table_bytes`: memory of the tables that its packets find, which other interfaces may share.
    """

    interface: str
    endpoint: str
    acceleration: Acceleration
    reason: str
    program_id: int | None = None
    program_name: str | None = None
    refused: tuple[str, ...] = ()
    is_enforced: bool = False
    backend: str = ""
    xdp: XdpUse = XdpUse.AUTO
    unmet: str = ""
    table_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyReport:
    """What one `apply` did: interfaces changed, problems that will be retried, repairs made.

    `looked_s`: how long a resync looked before it changed something; None: it changed nothing, and looking was all.
    """

    changed: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    refused: Mapping[str, tuple[str, ...]]
    failed: Mapping[str, str]
    looked_s: float | None = None


@dataclass(frozen=True, slots=True)
class RuleCount:
    """Packets that met a rule, on one interface and direction."""

    interface: str
    direction: Direction
    rule: RuleRef
    packets: int


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Packets by reason, on one interface and direction, where no rule decided."""

    interface: str
    direction: Direction
    reason: Reason
    packets: int


@dataclass(frozen=True, slots=True)
class InstalledVerdict:
    """What the installed program answered to a packet in a test run: Allow or Deny. `rule` as in a Trace.

    `is_rejected`: it would tell the sender of the denial, where any may be told.
    """

    verdict: Verdict
    reason: Reason
    rule: RuleRef | None
    is_tracked: bool = True
    is_rejected: bool = False


@dataclass(frozen=True, slots=True)
class TableFill:
    """How full one table of connections is: assured ones, which nothing evicts, and those that are only opening."""

    version: int
    established: int
    established_size: int
    opening: int
    opening_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatus:
    """The connection table of this host."""

    tables: Sequence[TableFill] = ()
    taken_over: int = 0
    """Connections that existed before, and were stored when endpoints were first protected."""
    expired: int = 0
    """Flows that were taken out because they had been idle for too long."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A packet that met Log rules (among the `rules` it met, in order) on an interface.

    `verdict`: allow, deny or reject, where the last rule that it met decided; empty where that is told by itself.
    """

    interface: str
    packet: Packet
    rules: tuple[RuleRef, ...]
    verdict: str = ""


class Driver(Protocol):
    """A dataplane. All calls come from one task; none of them blocks for longer than a kernel call."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def resync_s(self) -> float:
        """How often to look for what others changed, where looking takes no time: `resync`."""

    def take(self, delta: Delta) -> None:
        """Note a change of the desired state."""

    def apply(self) -> ApplyReport:
        """Make the kernel so. Raises KernelError only when nothing at all can work."""

    def resync(self, *, is_thorough: bool = True) -> ApplyReport:
        """Read the kernel again and repair what differs. Where that is not to be thorough, members of sets, and what
        else takes long to compare, are only counted."""

    def status(self) -> Sequence[InterfaceStatus]:
        """One entry for each interface with an endpoint."""

    def counters(self) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        """Exact totals since the agent started, or since the installed generation was loaded if that is longer ago."""

    def connections(self) -> ConnectionStatus:
        """The connection table and how full it is. Raises: KernelError."""

    def expire(self) -> Iterator[int]:
        """Take out expired flows, a batch for each step; how many went. Raises: KernelError."""

    def reconsider(self, choice: Established, interfaces: Collection[str]) -> Iterator[int]:
        """Apply newly enforced policy to flows that exist, a batch for each step; how many were forgotten."""

    def probe(self, interface: str, direction: Direction, packet: Packet) -> InstalledVerdict | None:
        """The installed program's own verdict on the first packet of a flow; None where none is installed.

        Raises: Unsupported where nothing that is installed can be asked.
        """

    def log_events(self) -> Sequence[LogEvent]:
        """Packets that met Log rules since the last call; what the kernel's buffer did not hold is counted as lost."""

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent of this network namespace enforces here; asked before the first `apply`.

        Raises: KernelError, where it is of a version whose state this one cannot read; nothing was changed.
        """

    def cleanup(self) -> Sequence[str]:
        """Remove exactly what is ours; names of what was removed. No packet is judged by a half of it meanwhile."""


class ReplaceableDriver(Driver, Protocol):
    """A driver that can take the place of another one, and give its own up, while packets pass.

        before.hand_over() ─▶ after.join() ─▶ after.apply(): both enforce ─▶ after.settle() ─▶ before.cleanup()

    The kernel's connection tracking is what drivers hand connections over in. Raises everywhere: KernelError; the step
    may then be taken again.
    """

    def hand_over(self, *, to_newcomer: bool) -> None:
        """Have the kernel's connection tracking know all connections that this driver allowed, and follow new ones.

        `to_newcomer` False: the other driver enforces already, and the kernel knows what it allowed; this one may have
        noticed connections that the other one denied.
        """

    def join(self) -> None:
        """Others enforce here; connections that the kernel tracks were allowed, from now until `settle`."""

    def settle(self) -> None:
        """Forget what was only noted for want of knowing better; the others may go when this returns."""


class KernelTracked:
    """The part of a ReplaceableDriver that leaves connections to the kernel's tracking: there is nothing to do."""

    def hand_over(self, *, to_newcomer: bool) -> None:
        """See ReplaceableDriver."""

    def join(self) -> None:
        """See ReplaceableDriver."""

    def settle(self) -> None:
        """See ReplaceableDriver."""
