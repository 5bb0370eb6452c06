"""Settings of hosts: what a FelixConfiguration says about failsafes and about which interfaces are the host's."""

from dataclasses import dataclass

from tortie.model.failsafe import FailsafePort


@dataclass(frozen=True, slots=True)
class FelixSettings:
    """One settings document; None leaves a field to the next more general one, and at last to the default.

    `name` is `default` for every host or `node.<name>` for one. An entry of `interface_exclude` is a name, or a regular
    expression between slashes.
    """

    name: str
    failsafe_inbound: tuple[FailsafePort, ...] | None = None
    failsafe_outbound: tuple[FailsafePort, ...] | None = None
    interface_prefixes: tuple[str, ...] | None = None
    interface_exclude: tuple[str, ...] | None = None
