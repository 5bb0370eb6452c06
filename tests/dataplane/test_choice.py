"""Where packets should be judged, and the words for why they are not."""

import errno
from dataclasses import replace

import pytest

from tortie.dataplane.ebpf.choice import choose, obstacle
from tortie.kernel.ethtool import DriverFacts
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Stage, Tier
from tortie.model.selector import ALL
from tortie.model.xdp import XdpUse, XdpWish

POLICY = Policy(key=PolicyKey("GlobalNetworkPolicy", "", "p"), tier="default", order=None, selector=ALL)


def state(use: XdpUse, kind: str = "", *, untracked: Direction | None = None, is_own: bool = True) -> EndpointState:
    tiers = {} if untracked is None else {(Stage.UNTRACKED, untracked): (TierPolicies(Tier("default"), (POLICY,)),)}
    interface = Interface(name="eth0", index=2, kind=kind, mtu_bytes=1500)
    return EndpointState(interface=interface, endpoint="e", tiers=tiers, xdp=XdpWish(use, is_own=is_own))


IN, OUT = Direction.INGRESS, Direction.EGRESS


@pytest.mark.parametrize(
    ("use", "kind", "untracked", "expected"),
    [
        (XdpUse.NEVER, "", IN, False),
        (XdpUse.ALWAYS, "veth", None, True),
        (XdpUse.UNTRACKED, "", None, False),
        (XdpUse.UNTRACKED, "", OUT, False),  # what leaves never meets XDP
        (XdpUse.UNTRACKED, "veth", IN, True),
        (XdpUse.AUTO, "", None, True),
        (XdpUse.AUTO, "tun", None, True),
        (XdpUse.AUTO, "veth", None, True),
    ],
)
def test_each_use_means_what_decision_16_says(
    use: XdpUse, kind: str, untracked: Direction | None, expected: bool
) -> None:
    assert choose(state(use, kind, untracked=untracked)).wants_xdp is expected


def test_a_choice_says_who_made_it() -> None:
    assert choose(state(XdpUse.NEVER)).why == "the endpoint says tortie.io/xdp: never"
    assert choose(state(XdpUse.NEVER, is_own=False)).why == (
        "the settings say tortie.io/xdp: never or xdpEnabled: false"
    )
    assert (
        choose(state(XdpUse.UNTRACKED)).why
        == "the endpoint says tortie.io/xdp: untracked, and no untracked policy applies"
    )
    assert choose(state(XdpUse.AUTO)).why == "auto: what is denied costs least in the driver"


@pytest.mark.parametrize("use", [XdpUse.AUTO, XdpUse.ALWAYS, XdpUse.UNTRACKED])
def test_what_vlan_interfaces_stand_on_is_judged_where_tags_are_seen(use: XdpUse) -> None:
    parent = state(use, untracked=IN)
    found = choose(replace(parent, interface=replace(parent.interface, vlans=frozenset((5,)))))
    assert not found.wants_xdp and "VLAN interfaces stand on it" in found.why


def words(code: int, told: DriverFacts | None = None, *, is_occupied: bool = False, **facts: object) -> str:
    interface = Interface(**{"name": "eth0", "index": 2, "mtu_bytes": 1500, **facts})  # type: ignore[arg-type]
    choice = choose(EndpointState(interface=interface, endpoint="e"))
    return obstacle(code, "the door's words", choice, told or DriverFacts(), is_occupied=is_occupied).words


def test_every_obstacle_that_is_known_has_its_words() -> None:
    assert words(errno.EBUSY, is_occupied=True) == "the door's words"
    assert words(errno.EEXIST) == "an interface on top of eth0 has an XDP program"
    assert words(errno.EINVAL, master_kind="bond").startswith("eth0 is a port of a bond: XDP belongs on the bond")
    assert words(errno.EOPNOTSUPP, kind="vlan").startswith("a VLAN interface has none")
    assert words(errno.EOPNOTSUPP, kind="bond").startswith("a port of the bond has none")
    assert words(errno.EOPNOTSUPP, DriverFacts(driver="e100")) == "e100 has none"
    assert words(errno.EOPNOTSUPP, kind="bridge") == "bridge has none"
    assert words(errno.EIO) == "the door's words"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ERANGE, errno.EMSGSIZE, errno.EOPNOTSUPP])
def test_settings_that_may_be_the_cause_are_named_with_the_command_that_changes_them(code: int) -> None:
    told = DriverFacts(driver="ena", channels=8, most_channels=8, has_lro=True)
    found = words(code, told, mtu_bytes=9000)
    assert found.startswith(f"ena refuses ({errno.errorcode[code]}); ")
    for command in ("ip link set eth0 mtu 3400", "ethtool -L eth0 combined 4", "ethtool -K eth0 lro off"):
        assert command in found
    assert words(errno.EINVAL, DriverFacts(driver="ena", channels=4, most_channels=8)) == "ena refuses (EINVAL)"


def test_another_attempt_is_worth_it_where_circumstances_are_different() -> None:
    def at(**facts: object) -> tuple[object, ...]:
        interface = Interface(**{"name": "eth0", "index": 2, "mtu_bytes": 9000, **facts})  # type: ignore[arg-type]
        return choose(EndpointState(interface=interface, endpoint="e")).circumstances

    assert at() == at(name="other", addresses=frozenset())
    assert len({at(), at(mtu_bytes=1500), at(is_up=False), at(master_kind="bond"), at(index=3)}) == 5
