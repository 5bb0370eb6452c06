"""How soon very many members of a set are enforced, beside `ipset restore` of the same ones.

    stored document ─▶ decode, lower ─▶ Engine ─▶ delta ─▶ EbpfDriver.apply: every packet from now on is judged by it
    add lines       ─▶ ipset restore: a set that no rule names yet

What the agent does, in this process, in a network namespace of the bench's own; the document's bytes are those that the
datastore gives. Both take other addresses each round, in turn, and the set is empty before.
"""

import random
import subprocess
import time
from collections.abc import Sequence

from bench.figures import Figure, Unmeasured
from bench.lab import SELECTOR, document, folder, host_endpoint, put
from netns import Namespace, veth_pair
from tortie.apps.absorb import absorb
from tortie.calc import Engine
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.kernel import bpf
from tortie.model.address import Net, format_address
from tortie.model.desired import Delta
from tortie.model.endpoint import Interface
from tortie.store.protocol import Put

MEMBERS = 100_000
NODE = "node2"


def measure(rounds: int) -> Sequence[Figure]:
    """The figures. Raises: Unmeasured, KernelError."""
    chance = random.Random(1)
    ours: list[float] = []
    theirs: list[float] = []
    one_more: list[float] = []
    with folder() as place, veth_pair() as (host, _), host.entered():
        (place / "bpf").mkdir()
        bpf.mount_bpffs(place / "bpf")  # the driver takes it away with the rest
        engine, driver = _engine(host), EbpfDriver(place / "bpf")
        try:
            _take(engine, driver, _listed([]))
            for _ in range(rounds):
                texts = [format_address(4, address) for address in chance.sample(range(1 << 24, 200 << 24), MEMBERS)]
                write = _listed(texts)
                ours.append(_take(engine, driver, write))
                one_more.append(_take(engine, driver, _listed([*texts, "203.0.113.1"])))
                _take(engine, driver, _listed([]))
                theirs.append(_restore(texts))
        finally:
            driver.cleanup()
    return [
        Figure("members.restore", "ms", tuple(ours), note=f"{MEMBERS:,} addresses, from stored to enforced"),
        Figure("members.restore.ipset", "ms", tuple(theirs), note="ipset restore of the same ones"),
        Figure(
            "members.restore.ratio",
            "x",
            tuple(our / their for our, their in zip(ours, theirs, strict=True)),
        ),
        Figure("members.one_more", "ms", tuple(one_more), note=f"one address more in a set of {MEMBERS:,}"),
    ]


def _engine(host: Namespace) -> Engine:
    """The calculation of a host whose policy denies whatever is in the set."""
    engine = Engine(NODE)
    policy = {
        "selector": SELECTOR,
        "applyOnForward": True,
        "doNotTrack": True,
        "types": ["Ingress"],
        "ingress": [{"action": "Deny", "source": {"selector": 'list == "deny"'}}],
    }
    for one in (host_endpoint(host.address), document("GlobalNetworkPolicy", "deny-listed", policy)):
        write = put(one)
        problem = absorb(engine, write.key, write.value)
        if problem is not None:
            raise Unmeasured(problem)
    addresses = frozenset({Net(4, 0xC0000201, 24)})
    engine.set_interface(host.interface, Interface(name=host.interface, index=host.ifindex, addresses=addresses))
    engine.in_sync()
    return engine


def _listed(texts: Sequence[str]) -> Put:
    return put(document("GlobalNetworkSet", "listed", {"nets": list(texts)}, labels={"list": "deny"}))


def _take(engine: Engine, driver: EbpfDriver, write: Put) -> float:
    """Milliseconds from the document's bytes until the kernel judges by it. Raises: Unmeasured."""
    began = time.perf_counter()
    problem = absorb(engine, write.key, write.value)
    delta: Delta = engine.flush()
    driver.take(delta)
    report = driver.apply()
    took = (time.perf_counter() - began) * 1e3
    if problem is not None or report.failed or report.refused or not report.changed:
        raise Unmeasured(f"members.restore: {problem or report}")
    return took


def _restore(texts: Sequence[str]) -> float:
    """Milliseconds of `ipset restore`, its process included. Raises: Unmeasured."""
    size = 1 << (MEMBERS - 1).bit_length()
    create = f"create listed hash:ip family inet hashsize {size} maxelem {size}"
    script = "\n".join([create, *(f"add listed {one}" for one in texts), ""])
    began = time.perf_counter()
    done = subprocess.run(["ipset", "restore"], input=script, text=True, capture_output=True, check=False)
    took = (time.perf_counter() - began) * 1e3
    if done.returncode:
        raise Unmeasured(f"ipset restore: {done.stderr}")
    subprocess.run(["ipset", "destroy", "listed"], check=True)
    return took
