"""Whether the kernel has IPVS, which passes packets to its services on from INPUT to OUTPUT."""

from pathlib import Path

_SERVICES = Path("/proc/thread-self/net/ip_vs")
"""There from the moment on when the module is loaded, in every network namespace."""


def is_there() -> bool:
    """Whether packets of this network namespace can meet it.

    Because: whether there are services is not asked; there may be some a moment later.
    """
    return _SERVICES.exists()
