"""Which variant of iptables to use, from what is there. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from tortie.kernel import iptables
from tortie.model.tables import Backend

_VARIANT = {Backend.LEGACY: iptables.LEGACY, Backend.NFT: iptables.NFT}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One variant on this host. `missing`: programs that are not installed. `rules`: those of others, both families.

    `refused`: why the kernel does not take what every endpoint needs. `is_default`: the plain command `iptables` means
    it.
    """

    variant: str
    missing: tuple[str, ...] = ()
    rules: int = 0
    refused: str = ""
    is_default: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether an agent can enforce with it."""
        return not (self.missing or self.refused)

    def __str__(self) -> str:
        if self.missing:
            return f"{self.variant}: {', '.join(self.missing)} not installed: install the package iptables"
        found = [f"{self.rules or 'no'} {'rule' if self.rules == 1 else 'rules'} of others"]
        found += ["what `iptables` means"] if self.is_default else []
        if self.refused:
            return f"{self.variant}: {self.refused}"
        return f"{self.variant}: {', '.join(found)}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The variant, and why."""

    variant: str
    reason: str


def choose(wanted: Backend, evidence: Iterable[Evidence]) -> Chosen | None:
    """The variant to use; None where none can be used, or not the wanted one.

    Of two, the one that holds more rules of others, because rules of the two do not know each other and one firewall is
    easier to understand; else the one that the command `iptables` means.
    """
    listed = list(evidence)
    told = "; ".join(map(str, listed))
    usable = [one for one in listed if one.is_usable]
    if wanted is not Backend.AUTO:
        chosen = next((one for one in usable if one.variant == _VARIANT[wanted]), None)
        return Chosen(chosen.variant, f"asked for ({told})") if chosen else None
    if not usable:
        return None
    best = max(usable, key=lambda one: (one.rules, one.is_default))
    return Chosen(best.variant, told)
