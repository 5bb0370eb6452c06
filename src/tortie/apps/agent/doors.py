"""The real doors of an agent: the dataplane driver by its name, the kernel's interfaces and timeouts."""

from tortie.apps.agent.interfaces import InterfaceSource, KernelInterfaces
from tortie.apps.agent.kerneltimeouts import KernelTimeouts, TimeoutSource
from tortie.apps.agent.settings import DATAPLANES
from tortie.apps.failure import Code, Failure
from tortie.dataplane.driver import Driver


def open_driver(name: str) -> Driver:
    """The driver of that name. Raises: Failure for an unknown one; KernelError."""
    match name:
        case "ebpf":
            from tortie.dataplane.ebpf.driver import EbpfDriver

            return EbpfDriver()
        case _:
            raise Failure(
                Code.USAGE, f"dataplane {name!r} does not exist in this version; use {' or '.join(DATAPLANES)}"
            )


def open_interfaces() -> InterfaceSource:
    """The interfaces of this network namespace."""
    return KernelInterfaces()


def open_timeouts() -> TimeoutSource:
    """The timeouts of this network namespace's connection tracking."""
    return KernelTimeouts()
