"""The real doors of an agent: the dataplane driver by its name, the kernel's interfaces and timeouts."""

from tortie.apps.agent.interfaces import InterfaceSource, KernelInterfaces
from tortie.apps.agent.kerneltimeouts import KernelTimeouts, TimeoutSource
from tortie.apps.agent.settings import DATAPLANES
from tortie.apps.failure import Code, Failure
from tortie.dataplane.driver import Driver
from tortie.dataplane.nft_text.listing import TABLE as TABLE_NAME

TABLE = f"table inet {TABLE_NAME}"


def open_driver(name: str) -> Driver:
    """The driver of that name. Raises: Failure for an unknown one; KernelError."""
    match name:
        case "ebpf":
            from tortie.dataplane.ebpf.driver import EbpfDriver

            return EbpfDriver()
        case "nftables":
            from tortie.dataplane.nftables.driver import NftablesDriver

            return NftablesDriver()
        case _:
            raise Failure(
                Code.USAGE, f"dataplane {name!r} does not exist in this version; use {' or '.join(DATAPLANES)}"
            )


def open_enforcing_driver(name: str) -> Driver:
    """The driver of that name, where no agent with another one left anything in this network namespace.

    Because: what was left would go on to judge packets by a policy that nobody changes any more, and taking it away
    before the new driver enforces would open the host.
    Raises: Failure; KernelError.
    """
    driver = open_driver(name)
    for other in (one for one in DATAPLANES if one != name):
        left = open_driver(other).leftovers()
        if name == "nftables":
            # The table beside the programs has the name of ours, which replaces it.
            left = [thing for thing in left if thing != TABLE]
        if left:
            raise Failure(
                Code.FAILED,
                f"an earlier agent enforces here with the dataplane {other} ({', '.join(left)}): start that one, or "
                f"remove what it left with `tortie agent cleanup --dataplane {other}`",
            )
    return driver


def open_interfaces() -> InterfaceSource:
    """The interfaces of this network namespace."""
    return KernelInterfaces()


def open_timeouts() -> TimeoutSource:
    """The timeouts of this network namespace's connection tracking."""
    return KernelTimeouts()
