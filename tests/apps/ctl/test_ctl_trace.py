"""`tortie trace` on states of a datastore, and what an agent adds; what it prints is in tests/golden/explain."""

import json
from pathlib import Path

import pytest

from apps.agent_thread import agent_at
from apps.documents import ENDPOINT, POLICY
from apps.shell import Shell
from tortie.apps.ctl.commands.trace import RELATIONS
from tortie.model.conntrack import Relation
from tortie.store.sqlite import SqliteStore

PAIR = f"{ENDPOINT}---\n{POLICY}"
ASKED = ("--node", "node2", "trace", "1.2.3.4", "10.0.0.5", "tcp/6379", "--in", "eth0")
DENYING = POLICY.replace("Allow", "Deny")


def test_every_relation_can_be_asked_about() -> None:
    assert list(RELATIONS) == [one.value for one in Relation]


def verdict(shell: Shell, *more: str) -> tuple[str, int, list[str]]:
    code, out, err = shell(*ASKED, "-o", "json", *more)
    assert (code, err) == (0, "")
    answer = json.loads(out)
    return answer["verdict"], answer["revision"], answer["notes"]


def revision(shell: Shell) -> int:
    return int(json.loads(shell("get", "gnp", "redis", "-o", "json")[1])["metadata"]["resourceVersion"])


def test_an_older_revision_is_told_as_it_was(either: Shell) -> None:
    either("apply", "-f", either.file(PAIR))
    first = revision(either)
    either("apply", "-f", either.file(DENYING))
    newest = revision(either)
    assert verdict(either)[:2] == ("deny", newest)
    older, told, notes = verdict(either, "--revision", str(first))
    assert (older, told) == ("allow", first)
    assert notes[0].startswith(f"as of revision {first} (") and notes[0].endswith(f"; the newest is {newest}")
    assert verdict(either, "--at", "2999-01-01")[:2] == ("deny", newest)


def test_rules_that_are_stored_have_the_revision_that_wrote_them(either: Shell) -> None:
    either("apply", "-f", either.file(PAIR))
    (step,) = json.loads(either(*ASKED, "-o", "json")[1])["steps"]
    assert step["origin"] == f"revision {revision(either)}"


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        (("--revision", "99"), "revision 99 does not exist yet: the newest is"),
        (("--revision", "1"), "revision 1 is no longer kept: the oldest that is kept is 2, the newest 4"),
        (("--at", "2001-01-01"), "the revision of 2001-01-01 is no longer kept: the oldest that is kept is 3 ("),
    ],
)
def test_what_is_not_kept_is_said_with_the_oldest_that_is(shell: Shell, when: tuple[str, str], sentence: str) -> None:
    shell("apply", "-f", shell.file(PAIR))
    shell("apply", "-f", shell.file(DENYING))
    shell("apply", "-f", shell.file(PAIR))
    shell("delete", "gnp", "redis")
    _forget_before(shell.datastore, 2)
    code, out, err = shell(*ASKED, *when)
    assert (code, out) == (5, "")
    assert sentence in err


def _forget_before(path: Path, oldest: int) -> None:
    """What the datastore does by itself after ten thousand more transactions."""
    store = SqliteStore.open(path, create=False)
    store._connection.execute("UPDATE datastore SET compacted = ?", (oldest,))
    store._connection.close()


def test_before_its_first_revision_a_datastore_was_empty(shell: Shell) -> None:
    shell("apply", "-f", shell.file(PAIR))
    code, out, _ = shell(*ASKED, "--at", "2001-01-01")
    assert code == 0
    assert "no host endpoint governs this interface" in out


def test_an_agent_chooses_the_way_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.sock"
    with agent_at(path):
        shell = Shell(tmp_path, capsys, path)
        shell("apply", "-f", shell.file(PAIR))
        _, out, _ = shell("trace", "1.2.3.4", "10.0.0.5", "tcp/6379")
        assert "note: arrives at eth0: 10.0.0.5 is this host's own" in out
        assert "installed  ALLOW  tier default, GlobalNetworkPolicy(redis), rule 0: agrees" in out


def test_what_staged_policies_would_do_is_told_beside_what_is_enforced(either: Shell) -> None:
    staged = DENYING.replace("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy")
    either("apply", "-f", either.file(f"{PAIR}---\n{staged}"))
    answer = json.loads(either(*ASKED, "-o", "json")[1])
    told = answer["staged"]
    assert (answer["verdict"], told["verdict"], told["changes"]) == ("allow", "deny", True)
    assert told["policies"] == [{"policy": "StagedGlobalNetworkPolicy(redis)", "action": "Set", "outcome": "deny"}]
    assert told["policy"] == "StagedGlobalNetworkPolicy(redis)"
