"""The API on a real unix socket: what it answers, and what hostile or slow clients get."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn, cast

import pytest

from apps.documents import ENDPOINT, NORMAL, PAIR, POLICY, REFUSED, network_set, staged
from apps.fake_agent import StillInterfaces, StillTimeouts
from apps.reference_driver import ReferenceDriver
from tortie.apps.agent import admission, api, asking
from tortie.apps.agent.history import Moment
from tortie.apps.agent.listener import unix_listener
from tortie.apps.agent.pump import Pump
from tortie.apps.agent.settings import AgentSettings
from tortie.apps.agent.status import Status
from tortie.apps.agent.web import answering
from tortie.apps.answers import SourceText
from tortie.apps.ctl.commands.status import screen
from tortie.apps.ctl.remote import SocketTarget
from tortie.apps.ctl.traced import complaint, lines
from tortie.apps.ctl.wire import request
from tortie.apps.failure import Code, Failure
from tortie.apps.policyassert.answers import AssertQuery
from tortie.apps.requests import GetQuery, Verb, WriteOptions
from tortie.apps.trace.answers import TraceAnswer
from tortie.calc import Engine
from tortie.dataplane.driver import Established, TableFill
from tortie.kernel.errors import KernelError
from tortie.store.memory import MemoryStore


class World:
    """A running API, and the client of the command line."""

    def __init__(self, path: Path) -> None:
        self.path, self.driver, self.store = str(path), ReferenceDriver(), MemoryStore()
        self.pump = Pump(self.store, Engine("node2"), self.driver, StillInterfaces(), StillTimeouts())
        self.status = Status(AgentSettings(node="node2", socket=path), self.pump)
        self.target = SocketTarget(self.path)

    async def ask(self, *request_line: object) -> object:
        return await asyncio.to_thread(request, self.path, *request_line)  # type: ignore[arg-type]

    async def apply(self, *documents: str, wait: bool = True, established: str = "keep") -> object:
        files = [{"source": f"{number}.yaml", "text": text} for number, text in enumerate(documents)]
        return await asyncio.to_thread(
            self.target.write,
            Verb.APPLY,
            files,  # type: ignore[arg-type]
            WriteOptions(wait=wait, established=established),
        )

    async def raw(self, payload: bytes, *, then_close: bool = False) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self.path)
        try:
            writer.write(payload)
            if then_close:
                return b""
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def world_at(folder: Path) -> AsyncIterator[World]:
    world = World(folder / "run" / "agent.sock")
    pumping = asyncio.create_task(world.pump.run())
    with unix_listener(Path(world.path)) as listener:
        async with answering(world.store, world.pump, world.status, listener):
            yield world
    pumping.cancel()
    await asyncio.gather(pumping, return_exceptions=True)


def in_world(folder: Path, test: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), world_at(folder) as world:
            await test(world)

    asyncio.run(run())


def test_an_apply_is_answered_when_it_is_enforced(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        answer = await world.apply(ENDPOINT, POLICY)
        assert isinstance(answer, dict)
        assert [change["action"] for change in answer["changes"]] == ["created", "created"]
        (enforced,) = answer["enforced"]
        assert enforced["is_current"]
        assert [one["interface"] for one in enforced["interfaces"]] == ["eth0"]
        assert {"eth0"} == set(world.driver.enforced)

    in_world(tmp_path, test)


def test_documents_can_be_sent_as_they_are(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        body = PAIR.encode()
        head = f"POST /v1/apply?source=here.yaml HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = await world.raw(head.encode() + body)
        assert answer.startswith(b"HTTP/1.1 200")

    in_world(tmp_path, test)


def test_an_invalid_document_is_answered_with_every_problem_and_its_place(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(Failure) as caught:
            await world.apply(ENDPOINT.replace("apiVersion", "piVersion"), POLICY.replace("6379", "637900"))
        assert caught.value.code is Code.INVALID
        assert {"0.yaml", "1.yaml"} == {problem["source"] for problem in caught.value.problems}
        assert any("did you mean" in problem["text"] for problem in caught.value.problems)
        assert (await world.store.list())[1] == 0

    in_world(tmp_path, test)


def test_a_refused_policy_is_named_with_its_class(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        answer = await world.apply(REFUSED)
        assert isinstance(answer, dict)
        (reason,) = answer["enforced"][0]["refused"]["eth0"]
        assert "GlobalNetworkPolicy(by-method)" in reason
        assert "(normal)" in reason

    in_world(tmp_path, test)


def test_status_is_complete(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        status = await asyncio.to_thread(world.target.status)
        assert status["agent"]["node"] == "node2"
        assert status["datastore_revision"] == status["enforced"]["revision"]
        assert status["notes"] == []
        assert [(one["rule"], one["packets"]) for one in status["counters"]["rules"]] == [(0, 7), (None, 2)]
        assert status["mode"] == {"state": "enforcing", "xdp": 1, "tc": 0, "netfilter": 0, "none": 0}
        change = status["last_change"]
        assert change is not None
        assert (change["revision"], change["interfaces"], change["is_complete"]) == (1, ["eth0"], True)
        assert "HostEndpoint(node2-eth0)" in change["causes"]
        assert status["drift"] == {"times": 0, "latest": []}
        assert [(one["policy"], one["ingress"]) for one in status["policies"]] == [("GlobalNetworkPolicy(redis)", 7)]
        assert [one["reason"] for one in status["drops"] if one["ingress"]] == ["default_deny"]
        connections = status["connections"]
        assert connections is not None
        assert [one["established"] for one in connections["tables"]] == [5, 0]
        text = screen(status)
        assert "default_deny" in text
        assert "5 of 512,000 established (0 %)" in text

    in_world(tmp_path, test)


def test_counters_have_a_zero_for_what_no_packet_met_only_when_asked(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        met = await asyncio.to_thread(lambda: world.target.counters(everything=False))
        every = await asyncio.to_thread(lambda: world.target.counters(everything=True))
        assert all(one["packets"] for one in met["rules"])
        unmet = [one for one in every["rules"] if not one["packets"]]
        assert [(one["direction"], one["policy"], one["rule"]) for one in unmet] == [
            ("egress", "GlobalNetworkPolicy(redis)", 0),
            ("egress", "HostEndpoint(node2-eth0)", None),
        ]

    in_world(tmp_path, test)


def test_wide_tables_say_how_many_packets_met_a_policy_and_how_many_an_endpoint_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR, network_set("s"))

        async def last_cells(kind: str) -> list[str]:
            answer = await asyncio.to_thread(lambda: world.target.get(kind, GetQuery(view="wide")))
            assert len({len(row) for row in (answer["table"]["heading"], *answer["table"]["rows"])}) == 1
            return [answer["table"]["heading"][-1], *(row[-1] for row in answer["table"]["rows"])]

        assert await last_cells("gnp") == ["HITS", "7"]
        assert await last_cells("hep") == ["HITS", "2"]
        assert "HITS" not in await last_cells("gns")

        def fail() -> NoReturn:
            raise KernelError("bpf", "read", 1)

        monkeypatch.setattr(world.driver, "counters", fail)
        assert await last_cells("gnp") == ["HITS", "-"]

    in_world(tmp_path, test)


def test_established_connections_are_judged_again_only_when_asked(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        answer = await world.apply(PAIR)
        assert isinstance(answer, dict)
        assert (answer["forgotten"], answer["kept_because"], world.driver.reconsidered) == (0, None, [])
        for choice in ("recheck", "kill"):
            answer = await world.apply(PAIR, established=choice)
            assert isinstance(answer, dict)
            assert (answer["forgotten"], answer["kept_because"]) == (5, None)
        removed = await asyncio.to_thread(
            lambda: world.target.delete("gnp", ["redis"], WriteOptions(established="kill"))
        )
        assert removed["forgotten"] == 5
        gone = await asyncio.to_thread(
            lambda: world.target.write(
                Verb.DELETE, [{"source": "t", "text": ENDPOINT}], WriteOptions(established="recheck")
            )
        )
        assert gone["changes"][0]["action"] == "deleted"
        eth0 = frozenset({"eth0"})
        assert world.driver.reconsidered == [
            (Established.RECHECK, eth0),
            (Established.KILL, eth0),
            (Established.KILL, eth0),
            (Established.RECHECK, frozenset()),
        ]

    in_world(tmp_path, test)


def test_where_policy_is_refused_established_connections_are_kept_and_that_is_said(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        answer = await world.apply(REFUSED, established="kill")
        assert isinstance(answer, dict)
        assert "eth0" in answer["kept_because"]
        assert world.driver.reconsidered == [(Established.KILL, frozenset())]

    in_world(tmp_path, test)


def test_a_choice_that_cannot_be_done_changes_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for established, wait in (("burn", True), ("kill", False)):
            with pytest.raises(Failure, match="established") as caught:
                await world.apply(PAIR, wait=wait, established=established)
            assert caught.value.code is Code.USAGE
        assert (await world.store.list())[1] == 0

    in_world(tmp_path, test)


def test_a_dry_run_forgets_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        files: list[SourceText] = [{"source": "t", "text": PAIR}]
        answer = await asyncio.to_thread(
            lambda: world.target.write(Verb.APPLY, files, WriteOptions(dry_run=True, established="kill"))
        )
        assert (answer["forgotten"], world.driver.reconsidered) == (0, [])

    in_world(tmp_path, test)


def test_repairs_are_in_the_status_with_what_they_were(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        world.pump.history.repaired(Moment(1_700_000_000.0, 0.0), ["table inet tortie"])
        status = await asyncio.to_thread(world.target.status)
        assert status["drift"]["times"] == 1
        assert status["drift"]["latest"][0]["at"] == "2023-11-14T22:13:20Z"
        assert "repaired once, last " in screen(status)

    in_world(tmp_path, test)


def test_a_table_that_is_nearly_full_is_a_warning(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        world.driver.filled = TableFill(4, 800, 1000, 100, 250)
        status = await asyncio.to_thread(world.target.status)
        (warning,) = status["warnings"]
        assert warning.startswith("connection table of IPv4: 80 % full")
        assert "set spec.bpfMapSizeConntrack higher" in screen(status)

    in_world(tmp_path, test)


WORKLOAD = """\
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: node2-k8s-web-eth0, namespace: shop}
spec: {orchestrator: k8s, node: node2, pod: web, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.2/32]}
"""


def test_policy_of_the_wildcard_on_interfaces_of_workloads_is_no_problem(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        both = NORMAL.replace("selector: all()", "selector: has(hep)\n  applyOnForward: true")
        everywhere = ENDPOINT.replace("interfaceName: eth0", "interfaceName: '*'")
        await world.apply(f"{everywhere}---\n{both}")
        assert (await asyncio.to_thread(world.target.status))["notes"] == []
        answer = await world.apply(WORKLOAD)
        assert isinstance(answer, dict)
        assert answer["enforced"][0]["refused"] == {}
        assert answer["enforced"][0]["policies"] == {}
        assert (await asyncio.to_thread(world.target.status))["notes"] == []

    in_world(tmp_path, test)


def test_staged_policies_are_noted_as_not_enforced(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        await world.apply(f"{staged('StagedGlobalNetworkPolicy')}\n---\n{staged('StagedNetworkPolicy')}")
        status = await asyncio.to_thread(world.target.status)
        names = "StagedGlobalNetworkPolicy(later), StagedNetworkPolicy(shop/later)"
        assert status["notes"] == [f"staged, not enforced: {names}"]
        assert status["enforced"]["invalid"] == {}

    in_world(tmp_path, test)


def test_assertions_are_answered_about_the_live_host_and_change_nothing(tmp_path: Path) -> None:
    text = """
        apiVersion: tortie.io/v1
        kind: PolicyAssertion
        assertions:
        - {name: redis, direction: ingress, in: eth0, protocol: TCP, destination: {ports: [6379]}, expect: deny}
        - {name: web, direction: ingress, in: eth0, protocol: TCP, destination: {ports: [80]}, expect: deny}
    """

    async def test(world: World) -> None:
        await world.apply(PAIR)
        query: AssertQuery = {"file": {"source": "a.yaml", "text": text}, "files": []}
        found = await asyncio.to_thread(world.target.prove, query)
        assert [one["passed"] for one in found["assertions"]] == [False, True]
        shown = found["assertions"][0]["counterexample"]
        assert shown is not None
        assert (shown["verdict"], shown["arrives"], shown["relation"]) == ("allow", "eth0", "new")
        with pytest.raises(Failure, match="files: expected a list"):
            await world.ask("POST", "/v1/assert", {"files": []})

    in_world(tmp_path, test)


def trace(world: World, **changes: object) -> Awaitable[object]:
    query = {
        "source": "1.2.3.4",
        "destination": "10.0.0.5",
        "protocol": "tcp/6379",
        "source_port": None,
        "interface": "eth0",
        "direction": "ingress",
        "files": [],
    }
    return world.ask("POST", "/v1/trace", query | changes)


def test_trace_compares_the_evaluator_with_the_installed_program(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        answer = await trace(world)
        assert isinstance(answer, dict)
        assert (answer["verdict"], answer["agrees"], answer["is_tracked"]) == ("allow", True, False)
        world.driver.lies = True
        lied = await trace(world)
        assert isinstance(lied, dict)
        assert lied["agrees"] is False
        assert "report" in str(complaint(cast(TraceAnswer, lied)))
        await world.apply(REFUSED)
        stale = cast(TraceAnswer, await trace(world))
        assert "refused" in str(complaint(stale)) and "report" not in str(complaint(stale))
        assert "differs" in "\n".join(lines(stale))

    in_world(tmp_path, test)


def test_trace_says_where_there_is_nothing_to_compare(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        answer = cast(TraceAnswer, await trace(world, protocol="tcp/80", is_established=True))
        assert (answer["verdict"], answer["reason"], answer["agrees"]) == ("allow", "established", None)
        assert "knows no such connection" in answer["installed_note"]
        assert complaint(answer) is None
        assert "not comparable" in "\n".join(lines(answer))
        denied = cast(TraceAnswer, await trace(world, protocol="tcp/80"))
        assert (denied["verdict"], denied["reason"], denied["agrees"]) == ("deny", "default_deny", True)

    in_world(tmp_path, test)


def test_trace_with_documents_is_a_what_if_that_changes_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR)
        deny = POLICY.replace("Allow", "Deny")
        answer = await trace(world, files=[{"source": "x", "text": deny}])
        assert isinstance(answer, dict)
        assert answer["verdict"] == "deny"
        again = await trace(world)
        assert isinstance(again, dict)
        assert again["verdict"] == "allow"

    in_world(tmp_path, test)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "x"},
        {"protocol": "tcp"},
        {"protocol": "tcp/99999"},
        {"interface": "eth9"},
        {"direction": "up"},
        {"source_port": -1},
        {"source_port": True},
        {"destination": "::1"},
        {"flags": "X"},
        {"flags": 2},
        {"flags": "S", "protocol": "udp/53"},
        {"is_established": "yes"},
        {"files": "x"},
        {"files": [1]},
        {"source": 4},
    ],
)
def test_a_question_that_makes_no_sense_is_a_usage_error(tmp_path: Path, changes: dict[str, object]) -> None:
    async def test(world: World) -> None:
        with pytest.raises(Failure) as caught:
            await trace(world, **changes)
        assert caught.value.code is Code.USAGE

    in_world(tmp_path, test)


HOSTILE = [
    b"",
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /v1/status HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PUT /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"GET /v1/resources/%00%ff?name=%f0 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/enforced?revision=-1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/enforced?revision=" + b"9" * 400 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"DELETE /v1/resources/gnp HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/trace HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n[[[[",
    b"POST /v1/trace HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]",
    b"POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    b"POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n\x00\xff\xfe\x00\x01",
    b"POST /v1/apply HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Type: application/vnd.tortie.files+json\r\n"
    b'Content-Length: 15\r\n\r\n{"files": [{}]}',
]


def test_hostile_requests_get_an_answer_or_the_door_and_the_next_client_is_served(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for payload in HOSTILE:
            await world.raw(payload, then_close=True)
        for payload in HOSTILE[4:14]:
            answer = await world.raw(payload)
            assert b"Traceback" not in answer
            assert int(answer.split(b" ", 2)[1]) in range(400, 500), (payload[:60], answer[:200])
        version = await world.ask("GET", "/v1/version")
        assert isinstance(version, dict)
        assert (await world.store.list())[1] == 0

    in_world(tmp_path, test)


def test_a_body_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST_BYTES", 1000)

    async def test(world: World) -> None:
        with pytest.raises(Failure, match="Request Entity Too Large"):
            await world.apply(network_set("s", *(f"10.0.{number}.0/24" for number in range(250))))

    in_world(tmp_path, test)


def test_silent_clients_lose_their_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ASK_S", 0.05)

    async def test(world: World) -> None:
        for start in (b"", b"GET /v1/status HT"):
            assert await world.raw(start) == b""
        assert await world.ask("GET", "/v1/version")

    in_world(tmp_path, test)


def test_a_body_that_never_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "REQUEST_S", 0.05)

    async def test(world: World) -> None:
        answer = await world.raw(b"POST /v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        assert answer.startswith(b"HTTP/1.1 408")

    in_world(tmp_path, test)


def test_a_crowd_of_silent_clients_does_not_lock_the_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST", 20)
    monkeypatch.setattr(admission, "ASK_S", 0.2)

    async def test(world: World) -> None:
        crowd = [await asyncio.open_unix_connection(world.path) for _ in range(40)]
        await asyncio.sleep(0.3)
        assert await world.ask("GET", "/v1/version")
        for _, writer in crowd:
            writer.close()

    in_world(tmp_path, test)


def test_only_root_and_the_agents_own_user_are_admitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "peer_uid", lambda peer: 12345)

    async def test(world: World) -> None:
        with pytest.raises(Failure) as caught:
            await world.ask("GET", "/v1/version")
        assert caught.value.code is Code.UNREACHABLE

    in_world(tmp_path, test)


def test_the_peers_user_is_read_from_the_kernel() -> None:
    mine, other = socket.socketpair()
    with mine, other:
        assert admission.peer_uid(mine) == Path("/proc/self").stat().st_uid


def test_the_socket_is_private_from_its_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "run" / "s.sock"
    with unix_listener(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with pytest.raises(Failure, match="another agent answers"), unix_listener(path):
            pass
    assert not path.exists()


def test_a_dead_agents_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "s.sock"))
    with unix_listener(folder / "s.sock"):
        pass
    (folder / "file").write_text("precious")
    with pytest.raises(Failure, match="is no socket"), unix_listener(folder / "file"):
        pass
    assert (folder / "file").read_text() == "precious"


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Failure, match="others may write there"), unix_listener(folder / "s.sock"):
        pass


def test_answers_are_json_whatever_the_names_hold(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(Failure) as caught:
            await world.ask("GET", "/v1/resources/" + "%1b%5b31m")
        assert json.dumps(caught.value.message)

    in_world(tmp_path, test)


def test_status_is_told_also_where_the_counters_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> NoReturn:
        raise KernelError("nft", "run nft", 2, "nft is not installed")

    async def test(world: World) -> None:
        await world.apply(PAIR)
        monkeypatch.setattr(world.driver, "counters", fail)
        status = await asyncio.to_thread(world.target.status)
        assert status["enforced"]["is_current"]
        assert status["counters"] == {"rules": [], "reasons": []}
        assert [one["ingress"] for one in status["policies"]] == [0]
        assert "nft is not installed" in status["notes"][-1]
        with pytest.raises(Failure, match=r"^nft: .*nft is not installed$"):
            await world.ask("GET", "/v1/counters")

    in_world(tmp_path, test)


def test_a_revision_is_answered_when_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        waiting = asyncio.create_task(asyncio.to_thread(world.target.revision, 0))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await world.apply(ENDPOINT)
        assert await waiting == 1
        monkeypatch.setattr(api, "WAIT_S", 0.05)
        assert await asyncio.to_thread(world.target.revision, 1) == 1
        assert await asyncio.to_thread(world.target.revision, 99) == 1  # no such revision: look again

    in_world(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "target", "hint"),
    [
        ("POST", "/v1/create?dry_run=yes", "dry_run: expected 0 or 1"),
        ("POST", "/v1/replace?established=burn", "established: 'burn' is unknown"),
        ("GET", "/v1/resources/gns?all_namespaces=true", "all_namespaces: expected 0 or 1"),
        ("GET", "/v1/resources/gns?view=huge", "view: 'huge' is unknown"),
        ("GET", "/v1/revision?after=-1", "after: expected a number"),
        ("GET", "/v1/described/gnsx", "did you mean"),
        ("DELETE", "/v1/resources/gns", "give at least one name"),
    ],
)
def test_a_wrong_parameter_is_named(tmp_path: Path, method: str, target: str, hint: str) -> None:
    async def test(world: World) -> None:
        with pytest.raises(Failure, match=hint) as caught:
            await world.ask(method, target)
        assert caught.value.code is Code.USAGE

    in_world(tmp_path, test)


def test_a_selector_is_tried_on_what_is_stored(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.apply(PAIR, network_set("a", "10.0.0.0/8"))
        answer = await asyncio.to_thread(world.target.select, 'hep == "redis-host"')
        assert [one["name"] for one in answer["matches"]] == ["node2-eth0"]
        assert [one["why_not"] for one in answer["others"]] == [['hep == "redis-host": hep is absent']]
        with pytest.raises(Failure, match="invalid selector: column 5") as caught:
            await asyncio.to_thread(world.target.select, "a ==")
        assert caught.value.code is Code.USAGE
        with pytest.raises(Failure, match="selector: expected text"):
            await world.ask("POST", "/v1/select", {"selector": 1})

    in_world(tmp_path, test)
