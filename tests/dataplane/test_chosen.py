"""Which dataplane enforces, and in which order one takes another's place."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace

import pytest

from apps.reference_driver import ReferenceDriver
from tortie.dataplane.chosen import DATAPLANE, CannotBeHad, ChosenDriver, Finding, Look, Offer, choose
from tortie.dataplane.driver import ApplyReport
from tortie.kernel.errors import KernelError
from tortie.model.dataplane import WHATEVER, DataplaneWish, wish_of
from tortie.model.desired import Delta

NAMES = ("ebpf", "nftables", "iptables")


class Recorded(ReferenceDriver):
    """A driver that writes down what is asked of it."""

    def __init__(self, host: Host, name: str) -> None:
        super().__init__()
        self.name, self._host = name, host

    def _note(self, method: str) -> None:
        self._host.said.append(f"{self.name} {method}")
        if f"{self.name} {method}" in self._host.errors:
            raise KernelError("door", method, errno.EBUSY)

    def take(self, delta: Delta) -> None:
        self._note("take")
        super().take(delta)

    def apply(self) -> ApplyReport:
        self._note("apply")
        return replace(super().apply(), failed=self._host.failing.get(self.name, {}))

    def hand_over(self, *, to_newcomer: bool) -> None:
        self._note("hand_over" if to_newcomer else "hand_over to one that is there")

    def join(self) -> None:
        self._note("join")

    def settle(self) -> None:
        self._note("settle")

    def cleanup(self) -> Sequence[str]:
        self._note("cleanup")
        self._host.left.discard(self.name)
        self._host.traces.discard(self.name)
        return [f"a thing of {self.name}"]


class Host:
    """Offers of three dataplanes, and what was asked of their drivers."""

    def __init__(self, *, lacks: Sequence[str] = (), left: Sequence[str] = ()) -> None:
        self.said: list[str] = []
        self.lacks, self.left = set(lacks), set(left)
        self.traces = set[str]()
        """Dataplanes of which something is there that enforces nothing."""
        self.failing: dict[str, dict[str, str]] = {}
        """By driver: what it says that it cannot enforce."""
        self.errors: set[str] = set()
        """Calls that raise."""

    def driver(self, told: DataplaneWish = WHATEVER) -> ChosenDriver:
        """The driver of these offers, which has taken nothing yet."""
        return ChosenDriver([self._offer(name) for name in NAMES], told, Delta)

    def _offer(self, name: str) -> Offer:
        return Offer(
            name=name,
            open=lambda: Recorded(self, name),
            look=lambda: Look((f"no {name} here: get one",) if name in self.lacks else (), "it works"),
            left=lambda: (f"a thing of {name}",) if name in self.left else (),
            has_traces=lambda: name in self.left | self.traces,
        )

    def since(self) -> list[str]:
        """What was asked since the last call."""
        said, self.said[:] = list(self.said), []
        return said


@pytest.mark.parametrize(
    ("uses_ebpf", "mode", "names"),
    [
        (None, None, ()),
        (None, "Auto", ()),
        (True, "Enabled", ("ebpf",)),
        (None, "Enabled", ("nftables",)),
        (False, "Enabled", ("nftables",)),
        (None, "Disabled", ("iptables",)),
        (False, "Auto", ("nftables", "iptables")),
    ],
)
def test_the_parameters_of_before_keep_their_meaning(
    uses_ebpf: bool | None, mode: str | None, names: tuple[str, ...]
) -> None:
    assert wish_of(uses_ebpf, mode).names == names


def test_the_first_that_can_be_had_is_chosen_and_what_cannot_be_had_is_said_with_its_remedy() -> None:
    found = [Finding("ebpf", False, "no bpf(2): get it"), Finding("nftables", True, "it works")]
    assert choose(DataplaneWish(), found)[0] == "nftables"
    with pytest.raises(CannotBeHad, match=r"dataplane ebpf cannot be had here \(BPFEnabled is true\): .*get it"):
        choose(wish_of(True, None), found)
    with pytest.raises(CannotBeHad, match="no dataplane can be had"):
        choose(DataplaneWish(), found[:1])


def test_what_the_agent_was_told_is_stronger_than_documents() -> None:
    host = Host()
    driver = host.driver(DataplaneWish(("nftables",), "it was told so"))
    driver.take(Delta(dataplane=wish_of(True, None)))
    assert not driver.apply().failed
    assert (driver.name, driver.choice.because) == ("nftables", "it was told so")


def test_the_new_driver_enforces_before_the_old_one_goes() -> None:
    host = Host()
    driver = host.driver()
    driver.take(Delta(dataplane=DataplaneWish()))
    driver.apply()
    assert host.since() == ["ebpf take", "ebpf apply"]
    driver.take(Delta(dataplane=wish_of(None, "Enabled")))
    driver.apply()
    assert host.since() == [
        "ebpf take",
        "ebpf hand_over",
        "nftables join",
        "nftables take",
        "nftables apply",
        "nftables settle",
        "ebpf cleanup",
        "nftables apply",
    ]
    assert (driver.name, driver.choice.leaving) == ("nftables", ())


def test_what_an_earlier_agent_left_is_changed_like_a_driver_of_ones_own() -> None:
    host = Host(left=["nftables"])
    driver = host.driver()
    assert driver.leftovers() == ["a thing of nftables"]
    driver.apply()
    assert host.since() == [
        "nftables hand_over",
        "ebpf join",
        "ebpf take",
        "ebpf apply",
        "ebpf settle",
        "nftables cleanup",
        "ebpf apply",
    ]


NFTABLES = Delta(dataplane=wish_of(None, "Enabled"))


def test_both_go_on_as_long_as_the_new_one_does_not_enforce_everything() -> None:
    host = Host()
    driver = host.driver()
    driver.apply()
    driver.take(NFTABLES)
    host.failing["nftables"] = {"eth0": "no room"}
    assert driver.apply().failed == {
        "eth0": "no room",
        DATAPLANE: "ebpf goes on beside nftables, which does not enforce eth0 yet",
    }
    assert driver.choice.leaving == ("ebpf",)
    host.since()
    driver.take(Delta(endpoints={}))  # news are for both
    driver.apply()
    assert host.since() == ["nftables take", "ebpf take", "nftables apply", "ebpf apply"]
    host.failing.clear()
    assert not driver.apply().failed
    assert host.since() == ["nftables apply", "nftables settle", "ebpf cleanup", "nftables apply"]


def test_a_change_that_is_taken_back_ends_with_the_driver_of_before() -> None:
    host = Host()
    driver = host.driver()
    driver.apply()
    driver.take(NFTABLES)
    host.failing["nftables"] = {"eth0": "no room"}
    driver.apply()
    host.since()
    driver.take(Delta(dataplane=DataplaneWish()))
    assert not driver.apply().failed
    assert host.since()[2:] == [
        "nftables hand_over to one that is there",
        "ebpf join",
        "ebpf apply",
        "ebpf settle",
        "nftables cleanup",
        "ebpf apply",
    ]
    assert driver.name == "ebpf"


@pytest.mark.parametrize("call", ["ebpf hand_over", "nftables join", "nftables settle", "ebpf cleanup"])
def test_a_change_that_breaks_off_anywhere_is_taken_up_again(call: str) -> None:
    host = Host()
    driver = host.driver()
    driver.apply()
    driver.take(NFTABLES)
    host.errors.add(call)
    try:
        assert DATAPLANE in driver.apply().failed
    except KernelError:
        assert driver.choice.leaving == ("ebpf",)
    assert "ebpf cleanup" not in host.since()[:-1]
    host.errors.clear()
    assert not driver.apply().failed
    assert host.since()[-2:] == ["ebpf cleanup", "nftables apply"]
    assert (driver.name, driver.choice.leaving) == ("nftables", ())


def test_what_cannot_be_had_is_said_and_what_enforces_goes_on() -> None:
    host = Host(lacks=["iptables"])
    driver = host.driver()
    driver.apply()
    driver.take(Delta(dataplane=wish_of(None, "Disabled")))
    assert "no iptables here: get one" in driver.apply().failed[DATAPLANE]
    assert driver.name == "ebpf"
    host.lacks.clear()
    assert not driver.resync().failed
    assert driver.name == "iptables"


def test_where_nothing_can_be_had_what_an_earlier_agent_left_goes_on() -> None:
    host = Host(lacks=NAMES, left=["ebpf"])
    driver = host.driver()
    assert DATAPLANE in driver.apply().failed
    assert (host.said, driver.name, list(driver.status())) == ([], "none", [])


def test_everything_is_removed_whatever_dataplane_left_it() -> None:
    host = Host(lacks=["iptables"], left=["nftables", "iptables"])
    assert host.driver().cleanup() == ["a thing of ebpf", "a thing of nftables", "a thing of iptables"]


def test_after_a_crash_within_a_change_the_one_that_enforces_already_is_told_of_no_connections() -> None:
    host = Host(left=["ebpf", "nftables"])
    driver = host.driver(wish_of(None, "Enabled"))
    driver.apply()
    assert host.since()[0] == "ebpf hand_over to one that is there"


def test_what_an_agent_that_died_left_and_enforces_nothing_is_removed() -> None:
    host = Host(left=["iptables"])
    host.traces = {"ebpf", "nftables"}
    driver = host.driver(wish_of(None, "Enabled"))
    driver.apply()
    said = host.since()
    assert (said.count("ebpf cleanup"), said.count("iptables cleanup"), said.count("nftables cleanup")) == (1, 1, 0)
    assert "ebpf hand_over" not in said
    assert driver.name == "nftables"


def test_what_cannot_be_removed_and_enforces_nothing_hinders_nobody() -> None:
    host = Host()
    host.traces = {"ebpf"}
    host.errors = {"ebpf cleanup"}
    driver = host.driver(wish_of(None, "Enabled"))
    assert not driver.apply().failed
    assert driver.name == "nftables"
