"""What tortie acts on, from the text of a level to the model's value."""

from typing import TypeVar

from tortie.model.host import ToHost
from tortie.model.settings import FelixSettings
from tortie.model.tables import Backend
from tortie.model.xdp import XdpUse
from tortie.resources.felix.ebpf import BPF_ENABLED, CONNECTION_TIMEOUTS
from tortie.resources.felix.host import (
    DISABLE_INVALID_CHECK,
    FAILSAFE_INBOUND,
    FAILSAFE_OUTBOUND,
    GENERIC_XDP,
    INSERT_MODE,
    INTERFACE_EXCLUDE,
    INTERFACE_PREFIX,
    TO_HOST,
    XDP_ENABLED,
    XDP_MODE,
)
from tortie.resources.felix.levels import Level, read
from tortie.resources.felix.maps import CONNTRACK_SIZE
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.tables import IPTABLES_BACKEND, IPTABLES_DENY, IPTABLES_MASK, NFTABLES_DENY, NFTABLES_MODE
from tortie.resources.lowering import Meaningless

V = TypeVar("V")


def settings_of(level: Level) -> FelixSettings:
    """What the level says of the parameters that are used.

    Raises: Meaningless, for a value that an agent must not go on with.
    """
    problems = []

    def say(parameter: Parameter[V]) -> V | None:
        reading = read(parameter, level)
        if reading.is_fatal:
            raise Meaningless(f"{parameter.name}: {reading.problem}")
        if reading.problem:
            problems.append(f"{level.source}: {parameter.name}: {reading.problem}")
        return reading.value

    def wish(parameter: Parameter[V]) -> V | None:
        """Because: a value that nobody can read must not change the dataplane."""
        found = say(parameter)
        return None if read(parameter, level).problem else found

    scope = level.scope
    is_disabled, to_host = say(DISABLE_INVALID_CHECK), say(TO_HOST)
    backend, place = wish(IPTABLES_BACKEND), say(INSERT_MODE)
    return FelixSettings(
        name=scope.name if scope else level.source,
        node_selector=scope.node_selector if scope else None,
        created=scope.created if scope else "",
        failsafe_inbound=say(FAILSAFE_INBOUND),
        failsafe_outbound=say(FAILSAFE_OUTBOUND),
        interface_prefixes=say(INTERFACE_PREFIX),
        interface_exclude=say(INTERFACE_EXCLUDE),
        conntrack_timeouts=say(CONNECTION_TIMEOUTS),
        conntrack_size=say(CONNTRACK_SIZE),
        drops_invalid=None if is_disabled is None else not is_disabled,
        xdp=_xdp(say(XDP_MODE), is_enabled=say(XDP_ENABLED)),
        may_use_generic_xdp=say(GENERIC_XDP),
        to_host=ToHost(to_host) if to_host else None,
        iptables_rejects=_rejects(say(IPTABLES_DENY)),
        nftables_rejects=_rejects(say(NFTABLES_DENY)),
        uses_ebpf=wish(BPF_ENABLED),
        nftables_mode=wish(NFTABLES_MODE),
        iptables_backend=Backend(backend) if backend else None,
        iptables_mark_mask=say(IPTABLES_MASK),
        appends_rules=place == "Append" if place else None,
        problems=tuple(problems),
    )


def _xdp(mode: str | None, *, is_enabled: bool | None) -> XdpUse | None:
    """What a level says; None: nothing."""
    if mode:
        return XdpUse(mode)
    return None if is_enabled is None else XdpUse.AUTO if is_enabled else XdpUse.NEVER


def _rejects(action: str | None) -> bool | None:
    return action == "Reject" if action else None
