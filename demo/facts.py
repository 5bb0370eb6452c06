"""How facts are measured in the lab: by real connections, and by the kernel's listings and counters. Judges nothing."""

import json
import os
import re
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import flood
import services
from documents import FLOOD_SOURCES, INTERFACE
from lab import CLIENT_INTERFACE, HOST, HOST6, Lab, LabError, Namespace
from services import Service
from tortie.kernel.netns import entered

NATIVE = 1
"""Source: linux/if_link.h, XDP_ATTACHED_DRV."""


def pings(lab: Lab, count: int) -> list[float | None]:
    """`count` new connections from the client to redis, over IPv4 and IPv6 in turn: seconds until PING was answered."""
    with entered(lab.client.path):
        return [services.REDIS[number % 2].seconds() for number in range(count)]


def answers(asker: Namespace, *asked: Service, patience_s: float = services.PATIENCE_S) -> list[str]:
    """What each service answers, asked from that namespace."""
    with entered(asker.path):
        return [service.answer(patience_s) for service in asked]


def listed_answers(lab: Lab) -> list[str]:
    """The client's listed addresses that redis answers."""
    with entered(lab.client.path):
        return [one.source for one in services.REDIS_LISTED if one.seconds() is not None]


def until_served(lab: Lab) -> None:
    """Wait for every server, and for every address: IPv6 takes a moment. Raises: LabError after 10 s."""
    deadline = time.monotonic() + 10
    for asker, wanted in (
        (lab.client, (*services.REDIS, *services.REDIS_LISTED, *services.WEB, services.SSH)),
        (lab.host, (services.OUT_HTTPS, services.OUT_OTHER)),
    ):
        for service in wanted:
            while not answers(asker, service)[0].startswith(service.says):
                if time.monotonic() > deadline:
                    said = "".join(path.read_text() for path in sorted(lab.folder.glob("*.log")))
                    raise LabError(f"{service.name} does not answer; the servers said:\n{said}")
                time.sleep(0.05)


def pinged6(lab: Lab) -> float | None:
    """Seconds until the host answered the client's ICMPv6 echo."""
    with entered(lab.client.path):
        return services.ping6(HOST6)


def forget_neighbours(lab: Lab) -> None:
    """Both sides forget who has which IPv6 address, and have to ask again."""
    for namespace, interface in ((lab.host, INTERFACE), (lab.client, CLIENT_INTERFACE)):
        namespace.run("ip", "-6", "neigh", "flush", "dev", interface)


def neighbour(lab: Lab) -> str:
    """The state of the host's IPv6 address among the client's neighbours."""
    found = json.loads(lab.client.run("ip", "-6", "-j", "neigh", "show", HOST6, "dev", CLIENT_INTERFACE) or "[]")
    return ", ".join(state for one in found for state in one["state"]) or "unknown"


def median_ms(times: Iterable[float | None]) -> float:
    """The median of those that were answered. Units: ms."""
    return statistics.median([one for one in times if one is not None] or [float("nan")]) * 1e3


def tracked(lab: Lab) -> int:
    """Entries for redis connections in the host's conntrack table, of both families."""
    listed = [lab.host.run("conntrack", "-L", "-f", family, "-p", "tcp") for family in ("ipv4", "ipv6")]
    return sum(f"dport={flood.PORT} " in line for text in listed for line in text.splitlines())


@dataclass(frozen=True, slots=True)
class Attached:
    """An XDP program as the kernel lists it; name "" for none."""

    name: str = ""
    id: int = 0
    is_native: bool = False


def attached(lab: Lab) -> Attached:
    """The XDP program on the host's interface, from `ip -d -j link`."""
    found = lab.host.link(INTERFACE).get("xdp")
    if not found:
        return Attached()
    return Attached(found["prog"].get("name", "?"), found["prog"]["id"], found["mode"] == NATIVE)


@dataclass(frozen=True, slots=True)
class Enforced:
    """What `tortie status -o json` says of the host's interface, and the packets that it counted by policy and rule."""

    name: str
    id: int | None
    where: str
    is_enforced: bool
    packets: dict[tuple[str, int | None], int]


def enforced(lab: Lab) -> Enforced:
    """The agent's own account. Raises: LabError if the interface is not in it."""
    answer = json.loads(lab.must("status", "-o", "json"))
    found = [one for one in answer["enforced"]["interfaces"] if one["interface"] == INTERFACE]
    if not found:
        raise LabError(f"tortie status does not know {INTERFACE}: {answer['enforced']}")
    (one,) = found
    counted = {
        (count["policy"], count["rule"]): count["packets"]
        for count in answer["counters"]["rules"]
        if count["direction"] == "ingress"
    }
    where, program = one["acceleration"], one["program_id"]
    return Enforced(one["program_name"] or "", program, where, one["is_enforced"], counted)


def watch_flood(lab: Lab) -> None:
    """Count what reaches the stack from the flood's sources, before anything but the driver has seen it."""
    rules = "".join(f"{'ip6' if ':' in net else 'ip'} saddr {net} counter name flood\n" for net in FLOOD_SOURCES)
    hook = "type filter hook prerouting priority -400;"
    lab.host.nft(f"table inet watch {{ counter flood {{}}; chain seen {{ {hook}\n{rules} }}; }}")


def seen_by_stack(lab: Lab) -> int:
    """Packets of the flood that reached the host's stack since `watch_flood`."""
    listed = json.loads(lab.host.run("nft", "-j", "list", "counter", "inet", "watch", "flood"))["nftables"]
    return int(next(one["counter"]["packets"] for one in listed if "counter" in one))


def make_kernel_track(lab: Lab) -> None:
    """A rule that asks for a connection's state: from now on the kernel tracks every one, as behind any firewall."""
    lab.host.nft("table inet track { chain seen { type filter hook input priority 0; ct state new counter; }; }")


def compile_flood(lab: Lab) -> Path:
    """The flood's program."""
    made = lab.folder / "flood.bpf.o"
    include = f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"
    flags = ["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror", include]
    subprocess.run(["clang-14", *flags, "-c", Path(__file__).with_name("flood.bpf.c"), "-o", made], check=True)
    return made


@dataclass(frozen=True, slots=True)
class Flooded:
    """What was sent, and what of it found no room in the wire's ring and never got to the host. Units: `seconds`."""

    sent: int
    lost: int
    seconds: float

    @property
    def arrived(self) -> int:
        """What the host's driver was given."""
        return self.sent - self.lost

    @property
    def rate_mpps(self) -> float:
        """Millions of packets a second that arrived."""
        return self.arrived / self.seconds / 1e6


def load_cpu() -> int:
    """The CPU that the flood is sent from, and with it the receive queue that it fills: one attacker's flows.

    redis-benchmark runs there, too.
    """
    return max(os.sched_getaffinity(0))


def server_cpu() -> int:
    """The CPU of redis: not that of the load, unless there is only one.

    Left to itself the scheduler puts both on one CPU for some seconds, now and then, and half of the rate is gone.
    """
    return min(os.sched_getaffinity(0))


def send_flood(lab: Lab, program: Path, *limits: str) -> Flooded:
    """SYNs to redis from every address of the flood's sources, over both families."""
    ends = ((lab.host, INTERFACE), (lab.client, CLIENT_INTERFACE))
    macs = "".join(namespace.link(interface)["address"].replace(":", "") for namespace, interface in ends)
    flows = [word for net, to in zip(FLOOD_SOURCES, (HOST, HOST6), strict=True) for word in ("--flow", first(net), to)]
    script = Path(flood.__file__)
    words: tuple[str | os.PathLike[str], ...]
    words = (
        "taskset",
        "--cpu-list",
        str(load_cpu()),
        sys.executable,
        script,
        program,
        "--interface",
        CLIENT_INTERFACE,
        "--macs",
        macs,
        *flows,
        *limits,
    )
    lost = _lost_on_wire(lab)
    answer = json.loads(lab.client.run(*words))
    return Flooded(answer["sent"], _lost_on_wire(lab) - lost, answer["seconds"])


def _lost_on_wire(lab: Lab) -> int:
    """Frames of programs, not of sockets, that the client's interface could not hand over."""
    listed = lab.client.run("ethtool", "-S", CLIENT_INTERFACE)
    return sum(int(count) for count in re.findall(r"tx_queue_\d+_xdp_xmit_errors: (\d+)", listed))


def dropped_by_driver(lab: Lab) -> int:
    """Frames that an XDP program made the host's driver drop, as the driver counts them."""
    listed = lab.host.run("ethtool", "-S", INTERFACE)
    return sum(int(count) for count in re.findall(r"rx_queue_\d+_xdp_drops: (\d+)", listed))


def first(net: str) -> str:
    """The first address of a net that a host could have."""
    return net.partition("/")[0].removesuffix(".0").removesuffix("::") + (".1" if "." in net else "::1")
