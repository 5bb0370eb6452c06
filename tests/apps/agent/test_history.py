"""What the agent remembers of its last change and of its repairs."""

from tortie.apps.agent.history import MOST_CAUSES, MOST_REPAIRS, History, Moment

NOW = Moment(1_700_000_000.0, 50.0)


def programmed(history: History, *interfaces: str, is_complete: bool = True, at: Moment = NOW) -> None:
    history.programmed(3, at, apply_ms=1.5, interfaces=interfaces, is_complete=is_complete)


def test_a_change_has_its_causes_its_interfaces_and_the_time_since_it_was_heard_of() -> None:
    history = History()
    history.hears(49.5)
    history.hears(49.9)
    for name in ("Tier(a)", "Tier(a)", "interface eth0"):
        history.cause(name)
    programmed(history, "eth0")
    change = history.last_change
    assert change is not None
    assert (change.causes, change.interfaces, change.latency_ms) == (("Tier(a)", "interface eth0"), ("eth0",), 500.0)
    assert (change.revision, change.at, change.apply_ms, change.more) == (3, NOW, 1.5, 0)


def test_what_changed_nothing_is_no_cause_of_the_next_change() -> None:
    history = History()
    history.hears(1.0)
    history.cause("Tier(elsewhere)")
    history.forget_causes()
    history.cause("Tier(a)")
    programmed(history)
    change = history.last_change
    assert change is not None
    assert (change.causes, change.latency_ms) == (("Tier(a)",), 0.0)


def test_an_attempt_that_completes_a_change_belongs_to_it() -> None:
    history = History()
    history.hears(48.0)
    history.cause("Tier(a)")
    programmed(history, "eth0", is_complete=False)
    assert not history.is_complete
    programmed(history, "eth1", at=Moment(NOW.wall_s + 2, 52.0))
    change = history.last_change
    assert change is not None
    assert (change.causes, change.interfaces, change.latency_ms) == (("Tier(a)",), ("eth0", "eth1"), 4000.0)
    assert history.is_complete


def test_a_change_of_very_many_documents_is_remembered_by_the_first_of_them() -> None:
    history = History()
    for number in range(5000):
        history.cause(f"Tier({number})")
    programmed(history)
    change = history.last_change
    assert change is not None
    assert (len(change.causes), change.more) == (MOST_CAUSES, 5000 - MOST_CAUSES)


def test_repairs_are_counted_and_the_latest_of_them_kept() -> None:
    history = History()
    for number in range(100):
        history.repaired(Moment(0.0, float(number)), [f"thing {number}"])
    assert history.repaired_times == 100
    assert [one.what for one in history.repairs] == [(f"thing {n}",) for n in range(100 - MOST_REPAIRS, 100)]
