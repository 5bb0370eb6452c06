import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from netns import namespace
from tortie.kernel import features


def found(*, is_present: bool, is_required: bool) -> features.Feature:
    return features.Feature(name="thing", is_present=is_present, is_required=is_required, lack="thing: install it")


def test_only_what_is_missing_is_told_and_by_its_weight() -> None:
    pairs = [(there, needed) for there in (True, False) for needed in (True, False)]
    everything = features.Features(
        release="6.1.0",
        is_root=True,
        features=tuple(
            replace(found(is_present=there, is_required=needed), lack=f"{there} {needed}") for there, needed in pairs
        ),
    )
    assert everything.missing_required == ("False True",)
    assert everything.missing_optional == ("False False",)


def test_a_name_that_is_not_probed_is_a_mistake() -> None:
    one = features.Features(release="6.1.0", is_root=True, features=(found(is_present=True, is_required=True),))
    assert one.has("thing")
    with pytest.raises(KeyError):
        one.has("nothing")


@pytest.mark.root
def test_root_on_a_new_kernel_lacks_nothing_that_is_required() -> None:
    probed = features.probe()
    assert probed.missing_required == ()
    assert probed.is_root
    version = tuple(int(part) for part in probed.release.split("-")[0].split(".")[:2])
    assert probed.has("tcx") == (version >= (6, 6))
    assert probed.has("xdp-frags") == (version >= (5, 18))


@pytest.mark.root
def test_probing_leaves_no_descriptor_and_takes_no_time() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    durations_s = []
    for _ in range(5):
        start = time.perf_counter()
        features.probe()
        durations_s.append(time.perf_counter() - start)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert min(durations_s) < 0.02


@pytest.mark.root
def test_without_capabilities_the_lack_of_them_is_told_with_the_remedy() -> None:
    script = "from tortie.kernel.features import probe\nprint(*probe().missing_required, sep='\\n')"
    with namespace() as one:
        said = one.run("setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", script).splitlines()
    (only,) = said  # and no advice to update a kernel that was never asked
    assert only.startswith("this process lacks CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON: run as root")


@pytest.mark.root
def test_without_the_tools_their_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert features.probe().missing_required == (
        "nft is not installed: install the package nftables",
        "ip is not installed: install the package iproute2",
    )
