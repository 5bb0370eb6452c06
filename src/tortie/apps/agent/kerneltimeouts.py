"""The timeouts of the kernel's own connection tracking, which hold where a setting of ours says `Auto`."""

from collections.abc import Mapping
from typing import Protocol

from tortie.calc.settings import KERNEL_TIMEOUTS
from tortie.kernel.sysctl import read_integer


class TimeoutSource(Protocol):
    """The network namespace's settings of connection tracking."""

    def read(self) -> Mapping[str, float]:
        """Seconds, by those of KERNEL_TIMEOUTS that the kernel has. Raises: KernelError."""


class KernelTimeouts:
    """The settings under net.netfilter. They exist where connection tracking is loaded."""

    def read(self) -> Mapping[str, float]:
        """Seconds by setting."""
        found = {name: read_integer("net", "netfilter", name) for name in KERNEL_TIMEOUTS}
        return {name: float(seconds) for name, seconds in found.items() if seconds is not None}
