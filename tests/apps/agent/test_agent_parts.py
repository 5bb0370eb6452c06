"""The small parts of the agent: settings, claims, log, notifications, interfaces, back-off, version."""

import fcntl
import importlib.metadata
import logging
import os
import socket
from pathlib import Path

import pytest

from apps.reference_driver import ReferenceDriver
from tortie.apps.agent import logs, packetlog
from tortie.apps.agent.claims import beacon, claim
from tortie.apps.agent.interfaces import to_model
from tortie.apps.agent.notify import notify
from tortie.apps.agent.retry import BackOff
from tortie.apps.agent.settings import AgentSettings, load_settings
from tortie.apps.beacons import is_held
from tortie.apps.failure import Code, Failure
from tortie.apps.packets import parse_packet
from tortie.apps.version import VERSION
from tortie.dataplane.driver import LogEvent
from tortie.kernel.netlink import LinkState
from tortie.model.address import parse_net
from tortie.model.policy import PolicyKey
from tortie.model.verdict import RuleRef


def test_the_version_is_the_packages() -> None:
    assert importlib.metadata.version("tortie") == VERSION


def test_flags_come_before_the_file_and_the_file_before_defaults(tmp_path: Path) -> None:
    config = tmp_path / "tortie.yaml"
    config.write_text("node: web1\ndatastore: /x/state.db\n")
    found = load_settings({"datastore": "/flag.db", "node": None}, str(config))
    assert AgentSettings(node="web1", datastore=Path("/flag.db")) == found


def test_without_anything_the_node_is_the_host() -> None:
    assert os.uname().nodename.lower() == load_settings({}, None).node


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nodes: web1", "unknown key 'nodes'; did you mean 'node'?"),
        ("node: 5", "node: expected text, got 5"),
        ("node: ''", "node: expected text"),
        ("[]", "expected a mapping"),
        ("node: [", "not YAML"),
        ("dataplane: ipfw", "expected auto, ebpf, nftables or iptables, got 'ipfw'"),
        ("!!python/object/apply:os.system [id]", "not YAML"),
        ("{[a]: b}", "not YAML|unknown key"),
    ],
)
def test_a_wrong_settings_file_is_a_usage_error(tmp_path: Path, text: str, complaint: str) -> None:
    config = tmp_path / "tortie.yaml"
    config.write_text(text)
    with pytest.raises(Failure, match=complaint) as caught:
        load_settings({}, str(config))
    assert caught.value.code is Code.USAGE


def test_an_empty_settings_file_says_nothing(tmp_path: Path) -> None:
    config = tmp_path / "tortie.yaml"
    config.write_text("# nothing yet\n")
    assert load_settings({}, str(config)).dataplane == "auto"


def test_a_claim_is_one_holders_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.lock"
    with claim(path, "taken"):
        with pytest.raises(Failure, match="taken"), claim(path, "taken"):
            pass
        assert is_held(path)
    assert not path.exists()
    path.write_text("left by a killed agent")
    assert not is_held(path)
    with claim(path, "taken"):
        assert is_held(path)


def test_a_lock_on_a_file_that_lost_its_name_means_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.lock"
    real, stale = os.open, []

    def first_of_a_file_that_goes(*arguments: object) -> int:
        descriptor: int = real(*arguments)  # type: ignore[arg-type]
        if not stale:
            stale.append(descriptor)
            path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", first_of_a_file_that_goes)
    with claim(path, "taken"):
        assert path.exists()
        with pytest.raises(Failure), claim(path, "taken"):
            pass


def test_a_claim_follows_no_link_that_somebody_laid(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "a.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError), claim(tmp_path / "a.lock", "taken"):
        pass
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_beacon_shines_while_its_agent_lives_and_sweeps_those_of_the_dead(tmp_path: Path) -> None:
    datastore = tmp_path / "state.db"
    folder = tmp_path / "state.db.agents"
    folder.mkdir(mode=0o700)
    (folder / "1.json").write_text("{}")
    with beacon(datastore, socket=Path("/x/s"), node="n"):
        (path,) = folder.iterdir()
        assert f"{os.getpid()}.json" == path.name
        assert is_held(path)
    assert list(folder.iterdir()) == []


def test_a_beacon_of_a_living_agent_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "state.db.agents"
    folder.mkdir(mode=0o700)
    with (folder / "1.json").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with beacon(tmp_path / "state.db", socket=Path("/x/s"), node="n"):
            assert (folder / "1.json").exists()


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("tortie", logging.WARNING, "f", 1, "%s", (text,), None)


def test_a_repeated_line_is_counted_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    repeats = logs.Repeats()
    assert [repeats.filter(record(text)) for text in ("a", "a", "a", "b")] == [True, False, False, True]
    now[0] += logs.REPEAT_S
    late = record("a")
    assert repeats.filter(late)
    assert late.getMessage() == "a (and 2 more of the same)"


def test_many_different_lines_do_not_fill_the_memory() -> None:
    repeats = logs.Repeats()
    for number in range(3 * logs.REMEMBERED):
        assert repeats.filter(record(str(number)))
    assert len(repeats._seen) <= logs.REMEMBERED


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        notify("READY=1", "STATUS=fine")
        assert manager.recv(100) == b"READY=1\nSTATUS=fine"
    notify("a manager that went away is no failure")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("and no manager neither")


def test_back_off_doubles_up_to_a_bound_and_forgets_after_success() -> None:
    back_off = BackOff(0.1, 0.5)
    assert [back_off.failed() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    back_off.succeeded()
    assert back_off.failed() == 0.1


def link(name: str, index: int, **more: object) -> LinkState:
    known = {
        "is_up": True,
        "has_carrier": True,
        "is_loopback": False,
        "kind": "",
        "mtu": 1500,
        "addresses": frozenset(),
    }
    return LinkState(name=name, index=index, **(known | more))  # type: ignore[arg-type]


def test_interfaces_carry_their_own_addresses_and_the_vlans_on_top_of_them() -> None:
    eth0, vlan = to_model(
        [
            link("eth0", 2, addresses=frozenset({(4, 0x0A000005, 24)})),
            link("eth0.7", 3, kind="vlan", vlan_id=7, parent_index=2),
        ]
    )
    assert frozenset({parse_net("10.0.0.5", strict=True)}) == eth0.addresses
    assert (frozenset({7}), frozenset()) == (eth0.vlans, vlan.vlans)


def test_interfaces_carry_their_broadcasts_and_what_they_forward() -> None:
    (eth0,) = to_model([link("eth0", 2, broadcasts=frozenset({0x0A0000FF}), forwards=frozenset({6}))])
    assert (frozenset({0x0A0000FF}), frozenset({6})) == (eth0.broadcasts, eth0.forwards)


def test_packets_that_met_log_rules_are_logged_and_a_flood_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    driver = ReferenceDriver()
    packet = parse_packet("1.2.3.4", "10.0.0.5", "tcp/6379", None)
    rule = RuleRef("default", PolicyKey("GlobalNetworkPolicy", "", "watch"), 2)
    driver.logged = [LogEvent("eth0", packet, (rule,))] * (packetlog.MOST_LINES + 7)
    with caplog.at_level(logging.INFO):
        packetlog.drain(driver)
        packetlog.drain(driver)
    line = "eth0: tcp 1.2.3.4:40000 > 10.0.0.5:6379: GlobalNetworkPolicy(watch) rule 2"
    assert [line] * packetlog.MOST_LINES == caplog.messages[:-1]
    assert caplog.messages[-1] == "and 7 more packets that met Log rules"
