"""One host as a packet meets it: its interfaces with their endpoints, its workloads, and the settings that decide.

`calc` makes it for this node (`Engine.host`), `passage` walks packets through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tortie.model.conntrack import TrackingSettings
from tortie.model.desired import EndpointState, HostAddresses
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet


class ToHost(Enum):
    """What becomes of a packet from a local workload to its own host, after the workload's policy allowed it.

    Return goes on with the rules of others, of which this model knows none. Source: dataplane-policy.md A.8.
    """

    DROP = "Drop"
    RETURN = "Return"
    ACCEPT = "Accept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """`endpoints`: by host interface; an interface that is not there has no endpoint. `workloads`: by their interface.

    `wildcard` is the endpoint `*` of this node, which has pre-DNAT and forward policy on workload interfaces too.
    `workload_prefixes`: an interface with such a name is a workload's, and one without an endpoint is closed.
    `rejects`: denials of the forward and normal classes are answered.
    """

    endpoints: Mapping[str, EndpointState] = field(default_factory=dict)
    workloads: Mapping[str, EndpointState] = field(default_factory=dict)
    wildcard: EndpointState | None = None
    workload_prefixes: tuple[str, ...] = ()
    sets: Mapping[str, IPSet] = field(default_factory=dict)
    failsafes: Failsafes = field(default_factory=Failsafes)
    addresses: HostAddresses = field(default_factory=HostAddresses)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    to_host: ToHost = ToHost.DROP
    rejects: bool = False

    def is_workload(self, interface: str) -> bool:
        """Whether a workload is at the other end of that interface."""
        return interface in self.workloads or any(p and interface.startswith(p) for p in self.workload_prefixes)

    def host_side(self, interface: str) -> EndpointState | None:
        """The host endpoint whose pre-DNAT and forward policy holds on that interface; None where none has any."""
        return self.wildcard if self.is_workload(interface) else self.endpoints.get(interface)
