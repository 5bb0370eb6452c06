"""The programs and the core tests on other kernels, in emulated guests that all run at once.

Each guest loads every program (T-COR-2), says what its kernel lacks, and runs CORE: the same tests as here, nothing
is left out for a kernel. Half of each test's time is Python under emulation, so that few strong ones are chosen;
TORTIE_KERNELS=all runs whole files (`make test-kernels`).

A machine that cannot have a guest, because a package or a kernel cannot be fetched, skips it, and the run says so at
its end.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kernels.guests import CHECKOUT, KERNELS, Guest, Kernel, NoGuest, Said, fetch, require_tools
from kernels.verified import CASES, LOADER, prepare, read, table
from tortie.dataplane.ebpf.pages import SIZES

pytestmark = pytest.mark.root

DRIVER = "tests/dataplane/test_driver.py"
CONTRACT = "tests/netns/test_contract.py"
WILDCARD, FORWARD = "tests/netns/test_wildcard.py", "tests/netns/test_passed_on.py"
CORE = (
    "tests/bpf/test_differential.py",
    "tests/bpf/test_tracked.py",
    "tests/netns/test_links.py",
    f"{DRIVER}::test_allowed_packets_are_untracked_and_denied_ones_dropped_in_native_xdp",
    f"{DRIVER}::test_a_driver_that_died_leaves_enforcement_and_the_next_one_takes_it_over",
    f"{DRIVER}::test_what_others_remove_is_repaired_and_told",
    f"{WILDCARD}::test_untracked_policy_of_a_wildcard_is_enforced_both_ways",
    f"{FORWARD}::test_forward_policy_is_asked_on_both_sides_and_answers_are_known",
)
IPVS = "tests/netns/test_ipvs_beside.py"
IPVS_CORE = f"{IPVS}::test_what_ipvs_passes_on_gets_the_evaluators_verdict"
WITH_IPVS = "6.1"
"""The one guest that these tests run in, because they take minutes there."""
ALL = (
    *CORE[:3],
    DRIVER,
    WILDCARD,
    FORWARD,
    "tests/netns/test_egress_verdicts.py",
    f"{CONTRACT}::test_applying_again_changes_nothing",
    f"{CONTRACT}::test_t_rel_17_cleanup_leaves_the_kernel_as_it_was",
    "tests/netns/test_agent_ebpf.py",
)
IS_ALL = os.environ.get("TORTIE_KERNELS") == "all"
LIMIT_S = 2_400 if IS_ALL else 1_500
"""Of a machine that others use, too; one of two CPUs to itself needs a third of it."""
LACKS = {"5.10": "tcx, xdp-frags, nft-fragments", "6.1": "tcx", "6.12": ""}
"""What each kernel lacks and the driver does without."""
_SIZES = {"TORTIE_DIFFERENTIAL_SCALE": "0.2" if IS_ALL else "0.03"}
_TELL = """from tortie.kernel.features import probe
print('lacks:', ', '.join(one.name for one in probe().features if not one.is_present))"""


@pytest.fixture(scope="module")
def guests() -> Iterator[dict[str, Guest | NoGuest]]:
    """All of them, started, or why not."""
    prepare(SIZES if IS_ALL else (SIZES[0], SIZES[-1]))  # each load takes a second there
    # what pytest compiles of them is written beside them, and need not be done under emulation
    words = [sys.executable, "-m", "pytest", "-q", "--collect-only", *_tests(WITH_IPVS)]
    collected = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert collected.returncode == 0, collected.stdout
    started: dict[str, Guest | NoGuest] = {}
    try:
        for kernel in KERNELS:
            try:
                require_tools()
                fetch(kernel)
                started[kernel.version] = Guest(kernel, _command(kernel), _SIZES)
            except NoGuest as why:
                started[kernel.version] = why
        yield started
    finally:
        for guest in started.values():
            if isinstance(guest, Guest):
                guest.close()


def _tests(version: str) -> tuple[str, ...]:
    beside = () if version != WITH_IPVS else (IPVS,) if IS_ALL else (IPVS_CORE,)
    return (*(ALL if IS_ALL else CORE), *beside)


def _command(kernel: Kernel) -> str:
    """Each step says what it has to say, and the next one only runs if it went well."""
    steps = (
        [str(LOADER), str(CASES)],
        [sys.executable, "-c", _TELL],
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *_tests(kernel.version)],
    )
    return " && ".join(shlex.join(step) for step in steps)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.version)
def test_t_cor_2_programs_load_and_the_core_tests_pass_on_another_kernel(
    guests: dict[str, Guest | NoGuest], kernel: Kernel, untested: list[str]
) -> None:
    guest = guests[kernel.version]
    if isinstance(guest, NoGuest):
        untested.append(f"Linux {kernel.version}: {guest}")
        pytest.skip(f"Linux {kernel.version} was not tested: {guest}")
    said = guest.wait(LIMIT_S)
    assert re.search(rf"^guest: Linux {re.escape(kernel.version)}\.", said.text, re.M), said.text
    found = read(said.text)
    print(f"Linux {kernel.version}, {said.took_s:.0f} s\n{table(found)}\n{_last_line(said)}")
    assert {one.program: over for one in found if (over := one.over(load_ms=60_000))} == {}
    assert f"lacks: {LACKS[kernel.version]}".strip() in [line.strip() for line in said.text.splitlines()]
    assert said.code == 0, said.text
    assert re.search(r"^\d+ passed in ", said.text, re.M), said.text  # and none skipped


def _last_line(said: Said) -> str:
    return next((line for line in reversed(said.text.splitlines()) if " in " in line and "passed" in line), "")
