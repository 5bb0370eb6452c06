"""The first part of the story: untracked policy in XDP, which speeds redis up and keeps a flood away from it.

Each claim does something in the lab, measures what came of it, and can fail.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import documents
import facts
import lab as labs
import services
from documents import INTERFACE
from lab import HOST, Lab
from report import Claim, Report
from traffic import Traffic

CONNECTIONS = 60
CONTROL_PACKETS = 2_000
PATIENCE_S = 4.0
"""Under the flood: a SYN for which the wire's ring has no room is sent again after 1 s."""


@dataclass(slots=True)
class Acceleration:
    """What it works with, and what was found before tortie."""

    lab: Lab
    report: Report
    tracked: int = 0
    latency_ms: float = 0.0
    answered: int = 0
    redis: Path = field(init=False)
    deny: Path = field(init=False)

    def __post_init__(self) -> None:
        self.redis, self.deny = self.lab.folder / "redis.yaml", self.lab.folder / "deny.yaml"
        self.redis.write_text(documents.redis_documents(HOST))
        listed = (*documents.FLOOD_SOURCES, labs.LISTED, labs.LISTED6)
        self.deny.write_text(documents.deny_documents(*listed))

    def before(self) -> None:
        """What the host is without tortie: the left column."""
        facts.make_kernel_track(self.lab)
        times = facts.pings(self.lab, CONNECTIONS)
        self.latency_ms, self.answered = facts.median_ms(times), len([one for one in times if one is not None])
        self.tracked = facts.tracked(self.lab)
        self.report.note(
            f"without tortie: {self.answered} of {CONNECTIONS} connections answered, median {self.latency_ms:.2f} ms; "
            f"conntrack has {self.tracked} entries for them; XDP program on {INTERFACE}: "
            f"{facts.attached(self.lab).name or 'none'}"
        )

    def refusals(self) -> None:
        """Wrong documents, before and after the right ones were applied, change nothing."""
        misprint = documents.misprinted_documents(HOST)
        self._refused("`piVersion`, as the article prints it", misprint, "piVersion", "did you mean apiVersion?")
        placeholder = documents.redis_documents("<NODE_IP>")
        self._refused("`<NODE_IP>` left as it is", placeholder, "<NODE_IP>", "<NODE_IP>")

    def _refused(self, name: str, text: str, wrong: str, says: str) -> None:
        path = self.lab.folder / "wrong.yaml"
        path.write_text(text)
        before = re.split(rf"(?<!\w){wrong}", text)[0]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        kept = self._everything()
        done = self.lab.tortie("apply", "-f", path)
        first = done.stderr.strip().partition("\n")[0].removeprefix(f"{self.lab.folder}/")
        place = re.match(r"wrong\.yaml:(\d+):(\d+)", first)
        found = place and (int(place[1]), int(place[2]))
        is_same = self._everything() == kept
        self.report.claim(
            Claim(
                name=f"refused: {name}",
                before="-",
                after=f"{'nothing' if is_same else 'something'} changed, exit code {done.returncode}",
                evidence=first or f"accepted: {done.stdout}",
                holds=done.returncode == 3 and found == (line, column) and says in first and is_same,
                expected=f"wrong.yaml:{line}:{column}, {says!r}, exit code 3, and nothing changed",
            )
        )

    def _everything(self) -> tuple[list[str], facts.Attached]:
        stored = [self.lab.must("get", kind, "-o", "json") for kind in ("hep", "gnp", "globalnetworkset")]
        return stored, facts.attached(self.lab)

    def accelerated(self) -> None:
        """The issue's two documents: redis answers as before, through XDP and around conntrack."""
        said = self.lab.must("apply", "-f", self.redis)
        for line in said.splitlines():
            self.report.note(line)
        self.lab.host.run("conntrack", "-F")
        times = facts.pings(self.lab, CONNECTIONS)
        answered, tracked = len([one for one in times if one is not None]), facts.tracked(self.lab)
        self.report.claim(
            Claim(
                name="redis answers, IPv4 and IPv6",
                before=f"{self.answered} of {CONNECTIONS}, median {self.latency_ms:.2f} ms",
                after=f"{answered} of {CONNECTIONS}, median {facts.median_ms(times):.2f} ms",
                evidence="PING on a new connection each, over both families in turn",
                holds=answered == self.answered == CONNECTIONS,
                expected=f"{CONNECTIONS} answers before and after",
            )
        )
        program, told = facts.attached(self.lab), facts.enforced(self.lab)
        agree = (told.name, told.id, told.where, told.is_enforced) == (program.name, program.id, "xdp", True)
        self.report.claim(
            Claim(
                name=f"an XDP program sits natively on {INTERFACE}",
                before="none",
                after=f"{program.name} (id {program.id})" if program.name else "none",
                evidence=f"ip -d link: {'native' if program.is_native else 'not native'}; "
                f"tortie status: {told.name} (id {told.id}), {told.where}",
                holds=bool(program.name) and program.is_native and agree,
                expected="one, native, the same in both",
            )
        )
        self.report.claim(
            Claim(
                name="conntrack entries of redis connections",
                before=str(self.tracked),
                after=str(tracked),
                evidence=f"conntrack -L after {answered} connections; an nft rule with `ct state` makes it track",
                holds=self.tracked > 0 and tracked == 0 and answered > 0,
                expected="some before, 0 after",
            )
        )

    def flooded(self) -> None:
        """A denied source set: first the same flood without the policy, as the control; then with it."""
        program = facts.compile_flood(self.lab)
        facts.watch_flood(self.lab)
        control = facts.send_flood(self.lab, program, "--packets", str(CONTROL_PACKETS))
        reached = facts.seen_by_stack(self.lab)
        listed_before = facts.listed_answers(self.lab)
        self.lab.must("apply", "-f", self.deny)
        denied_key = (f"GlobalNetworkPolicy({documents.DENIED_POLICY})", 0)
        counted_before = facts.enforced(self.lab).packets.get(denied_key, 0)
        driver_before = facts.dropped_by_driver(self.lab)
        with Traffic(self.lab.client, services.REDIS, pause_s=0.001, patience_s=PATIENCE_S) as traffic:
            flood = facts.send_flood(self.lab, program, "--seconds", "2.5")
        counted = facts.enforced(self.lab).packets.get(denied_key, 0) - counted_before
        dropped = facts.dropped_by_driver(self.lab) - driver_before
        leaked = facts.seen_by_stack(self.lab) - reached
        lost = f", {flood.lost:,} of them lost on the wire" if flood.lost else ""
        self.report.claim(
            Claim(
                name="a flood from a denied set is dropped in the driver",
                before=f"{reached:,} of {control.arrived:,} reach the stack",
                after=f"{leaked:,} of {flood.arrived:,} do, at {flood.rate_mpps:.2f} million/s",
                evidence=f"{flood.sent:,} spoofed SYNs in {flood.seconds:.1f} s{lost}; the driver dropped {dropped:,}, "
                f"tortie counted {counted:,} at rule 0 of {documents.DENIED_POLICY}",
                holds=(reached, leaked) == (control.arrived, 0) and flood.arrived == dropped == counted > 0 < reached,
                expected="all before, none after, and every one dropped and counted",
            )
        )
        asked, answered = traffic.asked, traffic.answered
        worst_ms = max((one for one in traffic.times if one is not None), default=0.0) * 1e3
        self.report.claim(
            Claim(
                name="redis goes on answering during the flood",
                before=f"median {self.latency_ms:.2f} ms",
                after=f"{answered:,} of {asked:,}, median {facts.median_ms(traffic.times):.2f} ms",
                evidence=f"new connections one after another, while it lasted; the slowest took {worst_ms:.1f} ms",
                holds=answered == asked and asked >= 100,
                expected="every one of at least 100",
            )
        )
        listed = facts.listed_answers(self.lab)
        self.report.claim(
            Claim(
                name="a listed address gets no answer",
                before=f"{' and '.join(listed_before) or 'none'} answered",
                after=" and ".join(listed) + " answered" if listed else "silence",
                evidence="the client's own second addresses, so an answer would be seen",
                holds=len(listed_before) == 2 and not listed,
                expected="both answered before, none after",
            )
        )

    def over(self) -> None:
        """Take everything away again, so that the next part begins with an open host."""
        self.lab.must("delete", "-f", self.deny)
        self.lab.must("delete", "-f", self.redis)
        self.lab.host.nft("delete table inet track; delete table inet watch")
