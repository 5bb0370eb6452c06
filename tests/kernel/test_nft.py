import errno
import sys
from collections.abc import Iterator

import pytest

from netns import namespace
from tortie.kernel import nft
from tortie.kernel.errors import KernelError

TABLE = """
table inet tortie_test {
  counter seen { packets 7 bytes 700 }
  set members { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }
  chain output { type filter hook output priority raw; tcp sport 6379 counter name seen notrack; }
}
"""


@pytest.fixture
def inside() -> Iterator[None]:
    with namespace() as one, one.entered():
        yield


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_a_script_is_carried_out_and_its_table_is_read_back() -> None:
    assert nft.list_table("inet", "tortie_test") is None
    nft.run(TABLE)
    table = nft.list_table("inet", "tortie_test")
    assert table is not None
    kinds = [next(iter(entry)) for entry in table["nftables"]]
    assert kinds == ["metainfo", "table", "counter", "set", "chain", "rule"]
    assert nft.counters("inet", "tortie_test") == {"seen": (7, 700)}


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_elements_of_sets_are_listed_only_when_asked_for() -> None:
    nft.run(TABLE)

    def elements(*, terse: bool) -> list[str] | None:
        table = nft.list_table("inet", "tortie_test", terse=terse)
        assert table is not None
        (found,) = (entry["set"] for entry in table["nftables"] if "set" in entry)
        return found.get("elem")

    assert elements(terse=True) is None
    assert elements(terse=False) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_a_failing_script_changes_nothing_and_names_its_line() -> None:
    with pytest.raises(KernelError, match=r"^nft: run script: ENOENT .*: line 2: .*No such file") as caught:
        nft.run("add table inet tortie_test\nadd rule inet tortie_test nochain accept\n")
    assert (caught.value.door, caught.value.code) == ("nft", errno.ENOENT)
    assert nft.list_table("inet", "tortie_test") is None


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_a_script_with_a_syntax_error_names_its_line() -> None:
    with pytest.raises(KernelError, match=r"^nft: run script: line 1: syntax error"):
        nft.run("add tabel inet x\n")


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_checking_changes_nothing() -> None:
    nft.run(TABLE, check_only=True)
    assert nft.list_table("inet", "tortie_test") is None
    with pytest.raises(KernelError, match=r"check script: line 1"):
        nft.run("nonsense", check_only=True)


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_counters_of_a_table_that_is_not_there_are_none() -> None:
    assert nft.counters("inet", "tortie_test") == {}


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_a_running_script_does_and_fails_like_run() -> None:
    nft.Running(TABLE).finish()
    assert nft.list_table("inet", "tortie_test") is not None
    with pytest.raises(KernelError, match=r"^nft: run script: line 1: syntax error"):
        nft.Running("add tabel inet x\n").finish()


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_a_script_of_several_hundred_kilobytes_goes_through() -> None:
    members = ", ".join(f"10.{n >> 8 & 255}.{n & 255}.1" for n in range(20_000))
    nft.run(
        f"add table inet tortie_test\nadd set inet tortie_test members {{ type ipv4_addr; }}\n"
        f"add element inet tortie_test members {{ {members} }}\n"
    )
    assert nft.list_table("inet", "tortie_test") is not None


@pytest.mark.root
def test_without_privileges_the_remedy_is_named() -> None:
    with namespace() as one:
        for call in ("nft.run('add table inet x')", "nft.list_table('inet', 'x')"):
            script = f"from tortie.kernel import errors, nft\ntry: {call}\nexcept errors.KernelError as e: print(e)"
            # Still root by name, but without any capability.
            said = one.run("setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", script)
            assert "EPERM" in said
            assert said.endswith("run as root, or give the process CAP_NET_ADMIN\n")


def test_without_nft_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for failing in (lambda: nft.run(""), lambda: nft.Running(""), lambda: nft.list_table("inet", "x")):
        with pytest.raises(KernelError, match=r"run nft: ENOENT .*install the package nftables"):
            failing()


def test_a_message_without_the_expected_form_is_passed_on() -> None:
    assert "strange words" in str(nft._failed("run script", "strange\nwords"))


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_a_table_holds_a_chain_and_so_many_rules() -> None:
    assert not nft.holds("inet", "tortie_test", chain="output", rules=1)
    nft.run(TABLE)
    nft.run(
        "table inet tortie_tests { chain output { accept; accept; }; }\n"
        "table ip tortie_test { chain input { accept; }; }"
    )
    assert nft.holds("inet", "tortie_test", chain="output", rules=1)
    assert nft.holds("inet", "tortie_tests", chain="output", rules=2)
    assert nft.holds("ip", "tortie_test", chain="input", rules=1)
    assert not nft.holds("inet", "tortie_test", chain="outpu", rules=1)
    assert not nft.holds("inet", "tortie_test", chain="output", rules=0)
    nft.run("add rule inet tortie_test output accept")
    assert nft.holds("inet", "tortie_test", chain="output", rules=2)


@pytest.mark.root
@pytest.mark.usefixtures("inside")
def test_each_transaction_counts_once_and_what_fails_or_is_only_checked_does_not() -> None:
    before = nft.generation()
    nft.run(TABLE)
    assert nft.generation() == before + 1
    nft.run(TABLE, check_only=True)
    with pytest.raises(KernelError):
        nft.run("delete table inet nobody\n")
    nft.list_table("inet", "tortie_test")
    assert nft.generation() == before + 1
