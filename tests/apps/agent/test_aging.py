"""Taking out what has expired, asking new policy about what exists, and the kernel's own timeouts."""

import asyncio
import logging

import pytest

from apps.reference_driver import ReferenceDriver
from tortie.apps.agent import aging, kerneltimeouts
from tortie.apps.agent.aging import Reconsideration, expire_flows
from tortie.apps.agent.outcome import Outcome
from tortie.dataplane.driver import Established
from tortie.kernel.errors import KernelError


def test_expired_flows_go_step_by_step_and_a_failure_is_not_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        driver = ReferenceDriver()
        driver.to_expire = [[4, 0, 3], [], [5]]
        aging_task = asyncio.create_task(expire_flows(driver))
        async with asyncio.timeout(5):
            while driver.expired < 12:
                await asyncio.sleep(0.001)
        aging_task.cancel()
        await asyncio.gather(aging_task, return_exceptions=True)
        assert driver.expired == 12

    monkeypatch.setattr(aging, "EVERY_S", 0.001)
    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "on purpose; expired connections stay for now" in caplog.text


def test_between_two_steps_others_have_their_turn() -> None:
    async def run() -> None:
        driver, seen = ReferenceDriver(), 0

        async def other() -> None:
            nonlocal seen
            while True:
                seen += 1
                await asyncio.sleep(0)

        driver.to_forget = [1] * 20
        task = asyncio.create_task(other())
        forgotten, problem = await Reconsideration(driver).run(Established.KILL, Outcome(revision=1))
        task.cancel()
        assert (forgotten, problem) == (20, None)
        assert seen >= 20

    asyncio.run(run())


@pytest.mark.parametrize(
    ("choice", "outcome", "expected"),
    [
        (Established.KEEP, None, (0, None)),
        (Established.KEEP, Outcome(revision=1, failed={"eth0": "busy"}), (0, None)),
        (Established.KILL, None, (0, "the change is not enforced yet; repeat the command when it is")),
        (
            Established.RECHECK,
            Outcome(revision=1, failed={"eth0": "busy"}),
            (0, "not all of the change is enforced (eth0); repeat the command when it is"),
        ),
    ],
)
def test_nothing_is_asked_of_the_driver_where_the_new_policy_is_not_enforced(
    choice: Established, outcome: Outcome | None, expected: tuple[int, str | None]
) -> None:
    driver = ReferenceDriver()
    assert expected == asyncio.run(Reconsideration(driver).run(choice, outcome))
    assert driver.reconsidered == []


def test_what_was_forgotten_before_a_failure_is_told_with_it() -> None:
    driver = ReferenceDriver()
    driver.forgetting_fails = True
    forgotten, problem = asyncio.run(Reconsideration(driver).run(Established.KILL, Outcome(revision=1)))
    assert forgotten == 3
    assert "on purpose" in str(problem)


def test_the_kernels_timeouts_are_those_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = {("net", "netfilter", "nf_conntrack_generic_timeout"): 600}
    monkeypatch.setattr(kerneltimeouts, "read_integer", lambda *parts: kernel.get(parts))
    assert kerneltimeouts.KernelTimeouts().read() == {"nf_conntrack_generic_timeout": 600.0}


def test_a_setting_that_cannot_be_read_is_an_error_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*parts: str) -> int:
        raise KernelError("sysctl", " ".join(parts), 13)

    monkeypatch.setattr(kerneltimeouts, "read_integer", fail)
    with pytest.raises(KernelError):
        kerneltimeouts.KernelTimeouts().read()
