"""T-REL-12: another version takes over what is enforced, in both directions, or leaves it alone and says so.

The other version is this one with other layouts: its objects are compiled from edited headers, and so have another
digest, other offsets, lanes and programs of their own.
"""

import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from streams import Stream, Streams, conversing, streaming

import tortie
from lockdown import TORTIE, AgentHost, agent_host, allow, connects, deny, endpoint, policy, tcp_server
from tortie.store.schema import VERSION

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).resolve().parents[2]
TALKING, NEW = 7100, 7101
ALLOWED = Stream(7001), Stream(7003, is_inward=False)
DENIED = Stream(7002), Stream(7004, is_inward=False)
RULES = ([allow("UDP", 7001), deny("UDP")], [allow("UDP", 7003), deny("UDP")])
TALK = ([allow("TCP", TALKING)], [allow("TCP", TALKING)])
Edits = Mapping[str, tuple[tuple[str, str], ...]]

OTHER_PAGES: Edits = {
    "config.h": (("struct config {\n", "struct config {\n\tu32 of_another_version[9];\n"),),
    "packet.h": (
        ("\tunion {\n\t\tstruct packet packet;", "\tu32 of_another_version[2];\n\tunion {\n\t\tstruct packet packet;"),
        ("u32 room[39];", "u32 room[37];"),
    ),
}
"""What generations and the scratch memory look like; the connection table is the same."""
OTHER_FLOWS: Edits = {
    "flows.h": (("FLOW_OUTBOUND = 2,", "FLOW_OUTBOUND = 4,"), ("FLOW_ANSWERED = 4,", "FLOW_ANSWERED = 2,")),
}
"""The connection table has elements of the same size, and means something else by them."""


def version(folder: Path, edits: Edits) -> Path:
    """A folder with the package as it would be with these edits of bpf/."""
    shutil.copytree(Path(tortie.__file__).parent, folder / "tortie")
    shutil.copytree(REPOSITORY / "bpf", folder / "bpf")
    for name, changes in edits.items():
        header = folder / "bpf" / "include" / "tortie" / name
        text = header.read_text()
        for before, after in changes:
            assert text.count(before) == 1, f"{name} has no {before!r}: write the edit anew"
            text = text.replace(before, after)
        header.write_text(text)
    multiarch = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    for source in (folder / "bpf").glob("*.bpf.c"):
        made = folder / "tortie" / "dataplane" / "ebpf" / "objects" / f"{source.name.removesuffix('.c')}.o"
        subprocess.run(
            [
                *("clang-14", "-O2", "-g", "-target", "bpf", "-mcpu=v3", f"-I{folder / 'bpf' / 'include'}"),
                *(f"-I/usr/include/{multiarch}", "-c", source, "-o", made),
            ],
            check=True,
        )
    return folder


def build_of(site: AgentHost) -> str:
    """The digest of the version whose programs judge."""
    (found,) = {path.name.partition("-")[2] for path in (site.pins / "host").glob("events-*")}
    return found


def assert_right(streams: Streams, first: int, last: int) -> None:
    """No packet that was allowed is missing, and none that was denied arrived."""
    wrong = {stream: streams.arrived(stream, first, last).count(0) for stream in ALLOWED}
    wrong |= {stream: streams.arrived(stream, first, last).count(1) for stream in DENIED}
    assert set(wrong.values()) == {0}, wrong
    print(f"{len(wrong) * (last - first)} verdicts, 0 wrong")


def write_schema_version(site: AgentHost, number: int) -> None:
    """Have the datastore be of that version."""
    with closing(sqlite3.connect(site.store.path)) as file:
        file.execute(f"PRAGMA user_version = {number}")


def begin(site: AgentHost, package: Path | None) -> None:
    """An agent of that version, once it enforces."""
    site.package = package
    site.start()
    site.settle()


def test_t_rel_12_upgrade_and_downgrade_under_traffic_give_no_wrong_verdict(tmp_path: Path) -> None:
    other = version(tmp_path / "other", OTHER_PAGES)
    with agent_host(tmp_path / "site") as site:
        site.commit(endpoint(), policy("udp", *RULES), policy("talk", *TALK))
        begin(site, other)
        with (
            tcp_server(site.host, NEW),
            conversing(site.host, site.peer, inward=4, outward=4, port=TALKING) as talk,
            streaming(site.host, site.peer, (*ALLOWED, *DENIED)) as streams,
        ):
            site.commit(gone=[policy("talk", *TALK)])  # what talks already goes on: only the connection table knows why
            site.settle()
            first, builds = streams.settled(), [build_of(site)]
            for package, leave in ((None, site.stop), (other, site.kill), (None, site.kill), (other, site.stop)):
                leave()
                begin(site, package)
                builds.append(build_of(site))
                before = talk.exchanges
                streams.go_on(200)
                assert talk.exchanges > before and talk.failures == 0
                assert not connects(site.peer, site.host.address, NEW)
            assert_right(streams, first, streams.settled())
        assert builds == [builds[0], builds[1]] * 2 + [builds[0]]
        assert builds[0] != builds[1]


def test_t_rel_12_a_connection_table_that_means_something_else_is_left_to_the_version_that_made_it(
    tmp_path: Path,
) -> None:
    other = version(tmp_path / "other", OTHER_FLOWS)
    with agent_host(tmp_path / "site") as site:
        site.commit(endpoint(), policy("udp", *RULES))
        begin(site, other)
        with streaming(site.host, site.peer, (*ALLOWED, *DENIED)) as streams:
            first, build = streams.settled(), build_of(site)
            site.stop()
            site.package = None
            with pytest.raises(AssertionError, match=r"another version of tortie made it.*tortie agent cleanup"):
                site.start()
            assert site.agent is not None and site.agent.wait(10) == 1
            assert build_of(site) == build
            begin(site, other)
            assert_right(streams, first, streams.settled())
        site.stop()
        site.host.run(TORTIE, "agent", "cleanup")
        begin(site, None)
        assert build_of(site) != build


def test_t_rel_12_a_datastore_of_another_schema_is_refused_and_what_is_enforced_stays(tmp_path: Path) -> None:
    with agent_host(tmp_path / "site") as site:
        site.commit(endpoint(), policy("udp", *RULES))
        begin(site, None)
        with streaming(site.host, site.peer, (*ALLOWED, *DENIED)) as streams:
            first = streams.settled()
            site.stop()
            write_schema_version(site, VERSION + 1)
            with pytest.raises(AssertionError, match="install the version that wrote it"):
                site.start()
            assert site.agent is not None and site.agent.wait(10) != 0
            write_schema_version(site, VERSION)
            begin(site, None)
            assert_right(streams, first, streams.settled())
