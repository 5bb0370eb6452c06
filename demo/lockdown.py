"""The second part of the story: tracked policy locks the host down, and the host stays reachable and goes on working.

Two connections that are older than the policy talk through everything that happens here.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import documents
import facts
import services
from documents import INTERFACE
from lab import CLIENT, CLIENT6, HOST, HOST6, Lab
from report import Claim, Report
from services import SILENCE
from traffic import Conversation, Traffic

SHORT_S, SHORTEST_S = 0.3, 0.1
"""Patience with connections that are denied: long enough for any answer, and short enough for many attempts."""
TIER_END = ("Tier(default)", None)


@dataclass(frozen=True, slots=True)
class View:
    """What answers on new connections: into the host, and out of it."""

    web: list[str]
    ssh: str
    redis: list[str]
    listed: list[str]
    https: str
    other: str


@dataclass(slots=True)
class Lockdown:
    """What it works with, and what was found before the lockdown."""

    lab: Lab
    report: Report
    policy: Path = field(init=False)
    web: Path = field(init=False)
    open: View = field(init=False)
    old: tuple[Conversation, Conversation] = field(init=False)

    def __post_init__(self) -> None:
        self.policy, self.web = self.lab.folder / "lockdown.yaml", self.lab.folder / "web.yaml"
        self.policy.write_text(documents.lockdown_documents(HOST))
        self.web.write_text(documents.WEB_HALF)
        asked = b"HEAD / HTTP/1.1\r\nHost: host\r\n\r\n"
        self.old = (
            Conversation(self.lab.client, HOST, services.WEB_PORT, asked, b"\r\n\r\n"),
            Conversation(
                self.lab.host,
                CLIENT6,
                services.OTHER_PORT,
                b"still there?\n",
                b"?\n",
                f"{services.OTHER_GREETING}\r\n".encode(),
            ),
        )

    def tell(self) -> None:
        """All of it."""
        self.report.title("Part two: the same host locked down. It is open again, and two connections begin to talk")
        self.open = self._look()
        self.report.note(
            f"port {services.WEB_PORT}: {self.open.web[0]}; port {services.SSH_PORT}: {self.open.ssh}; "
            f"redis: {self.open.redis[0]}; "
            f"the host reaches ports {services.HTTPS_PORT} and {services.OTHER_PORT} outside"
        )
        with ExitStack() as talking:
            for one in self.old:
                talking.enter_context(one)
            self.report.step(
                f"a client talks to port {services.WEB_PORT}, the host to port {services.OTHER_PORT} outside, "
                "a message every 10 ms"
            )
            time.sleep(0.3)
            self.report.title("A host endpoint with tracked policy: what is not allowed is denied, both ways")
            self.armed()
            self.report.title(
                "The web server is wanted back, untracked. A mistake that everybody makes once: no rule for its answers"
            )
            self.mistaken()
            self.corrected()
            self.report.title("The agent is killed while all of it goes on")
            self.killed()
            self.report.title("What the agent says: tortie status")
            self.told()
            self.report.title("The documents are deleted, and the host is as open as it was")
            self.lifted()
        self.outlived()

    def _look(self, patience_s: float = services.PATIENCE_S) -> View:
        """`patience_s`: with what the lockdown denies."""
        client, host = self.lab.client, self.lab.host
        web = facts.answers(client, *services.WEB, patience_s=patience_s)
        ssh, *redis = facts.answers(client, services.SSH, *services.REDIS)
        listed = facts.answers(client, *services.REDIS_LISTED, patience_s=patience_s)
        (https,) = facts.answers(host, services.OUT_HTTPS)
        (other,) = facts.answers(host, services.OUT_OTHER, patience_s=patience_s)
        return View(web, ssh, redis, listed, https, other)

    def armed(self) -> None:
        """What a newcomer fears about a default deny, and what it is for."""
        self.report.screen(documents.LOCKDOWN)
        talked = [one.answered for one in self.old]
        for line in self.lab.must("apply", "-f", self.policy).splitlines():
            self.report.note(line)
        dropped = facts.dropped_by_driver(self.lab)
        now, was = self._look(SHORT_S), self.open
        dropped = facts.dropped_by_driver(self.lab) - dropped
        counted = facts.enforced(self.lab).packets.get(TIER_END, 0)
        silent = [SILENCE, SILENCE]
        self.report.claim(
            Claim(
                name=f"port {services.WEB_PORT}, which no policy allows, disappears",
                before=was.web[0],
                after=_all(now.web),
                evidence=f"over IPv4 and IPv6, and redis for addresses outside the allowed nets: {_all(now.listed)}; "
                f"4 attempts, {counted} counted at the end of the tier, {dropped} dropped in the driver",
                holds=now.web == now.listed == silent and counted == dropped >= 4 and SILENCE not in was.web,
                expected="an answer before, silence after, and all 4 attempts dropped in the driver and counted",
            )
        )
        self.report.claim(
            Claim(
                name="redis answers those who are allowed",
                before=_all(was.redis),
                after=_all(now.redis),
                evidence="IPv4 and IPv6; tracked, so its answers need no rule",
                holds=was.redis == now.redis and all(one.startswith("+PONG") for one in now.redis),
                expected="+PONG before and after",
            )
        )
        self.report.claim(
            Claim(
                name="ssh stays, though no policy allows it",
                before=was.ssh,
                after=now.ssh,
                evidence=f"port {services.SSH_PORT} is a failsafe port: open whatever policy says",
                holds=was.ssh == now.ssh == services.SSH_GREETING,
                expected=services.SSH_GREETING,
            )
        )
        self.report.claim(
            Claim(
                name="the host connects to what egress policy allows, no more",
                before=f"ports {services.HTTPS_PORT} and {services.OTHER_PORT} answer",
                after=f"port {services.HTTPS_PORT}: {now.https}; port {services.OTHER_PORT}: {now.other}",
                evidence="new connections of the host's own processes, over IPv6",
                holds=(was.https, was.other, now.https, now.other)
                == (services.OTHER_GREETING, services.OTHER_GREETING, services.OTHER_GREETING, SILENCE),
                expected=f"both before; after, {services.HTTPS_PORT} only",
            )
        )
        self._neighbours()
        more = [one.answered - before for one, before in zip(self.old, talked, strict=True)]
        self.report.claim(
            Claim(
                name="connections that are older than the policy are not cut",
                before="2 talk",
                after=f"{sum(1 for one in self.old if not one.broken)} talk, {sum(more)} messages since",
                evidence=f"one to port {services.WEB_PORT} and one from the host to port {services.OTHER_PORT}: "
                "new ones to both are denied now",
                holds=min(more) > 20 and not any(one.broken for one in self.old),
                expected="2, more than 20 messages on each",
            )
        )

    def _neighbours(self) -> None:
        """A host that denies its neighbours' questions loses IPv6 within a minute, and at once if all are forgotten."""
        before = facts.pinged6(self.lab)
        facts.forget_neighbours(self.lab)
        after = facts.pinged6(self.lab)
        self.report.claim(
            Claim(
                name="IPv6 neighbours find each other as before",
                before=_ping(before),
                after=_ping(after),
                evidence=f"both sides forgot them, then ping of {HOST6}, which is now {facts.neighbour(self.lab)}",
                holds=before is not None and after is not None,
                expected="an answer, although discovery had to begin anew",
            )
        )

    def mistaken(self) -> None:
        """Allowed in and not out, without connection tracking: the client gets no answer, and is told why."""
        self.report.screen(documents.WEB_HALF)
        done = self.lab.tortie("apply", "-f", self.web)
        warning = done.stderr.strip().replace(f"{self.lab.folder}/", "")
        self.report.note(warning)
        answer = self._web()
        trace = self._trace_answer()
        self.report.screen(trace)
        hint = next((line.strip() for line in trace.splitlines() if "hint:" in line), "no hint")
        self.report.claim(
            Claim(
                name="a forgotten return rule is warned of, and explained",
                before=f"port {services.WEB_PORT}: {SILENCE}",
                after=f"port {services.WEB_PORT}: {answer}",
                evidence=f"apply: {'NO_RETURN_RULE' if 'NO_RETURN_RULE' in warning else 'no warning'}; trace: {hint}",
                holds=answer == SILENCE and "NO_RETURN_RULE" in warning and "mirrored rule" in hint,
                expected="still silence, a warning at apply, and the mirrored rule in the trace's hint",
            )
        )

    def corrected(self) -> None:
        """With the mirrored rule."""
        self.web.write_text(documents.WEB_HALF + documents.WEB_RETURN)
        self.report.screen(documents.WEB_RETURN)
        done = self.lab.tortie("apply", "-f", self.web)
        answer, trace = self._web(), self._trace_answer()
        verdict = next((line.strip() for line in trace.splitlines() if "verdict" in line), "no verdict")
        self.report.claim(
            Claim(
                name="with the mirrored egress rule it answers",
                before=SILENCE,
                after=answer,
                evidence=f"trace of the answer: {verdict}; apply warned: {done.stderr.strip() or 'of nothing'}",
                holds=answer == self.open.web[0] and "ALLOW" in verdict and not done.stderr,
                expected=f"{self.open.web[0]}, allowed, and no warning",
            )
        )

    def _web(self) -> str:
        (answer,) = facts.answers(self.lab.client, services.WEB[0])
        return answer

    def _trace_answer(self) -> str:
        """The web server's first packet back, explained."""
        words = (HOST, CLIENT, "tcp/40000", "--sport", str(services.WEB_PORT), "--flags", "SA", "--out", INTERFACE)
        self.report.note(f"tortie trace {' '.join(words)}")
        return self.lab.tortie("trace", *words).stdout

    def killed(self) -> None:
        """The agent dies without a chance to say so; another takes over."""
        before = facts.attached(self.lab)
        allowed_services = (*services.REDIS, services.WEB[0], services.SSH)
        with (
            Traffic(self.lab.client, allowed_services) as allowed,
            Traffic(self.lab.host, (services.OUT_HTTPS,)) as allowed_out,
            Traffic(self.lab.client, services.REDIS_LISTED, pause_s=0.0, patience_s=SHORTEST_S) as denied,
            Traffic(self.lab.host, (services.OUT_OTHER,), pause_s=0.0, patience_s=SHORTEST_S) as denied_out,
        ):
            time.sleep(0.3)
            self.lab.kill_agent()
            first = allowed.answered
            time.sleep(1.2)
            dead, alone = facts.attached(self.lab), allowed.answered - first
            took_s = self.lab.start_agent()
            time.sleep(0.5)
        after = facts.attached(self.lab)
        asked, answered = allowed.asked + allowed_out.asked, allowed.answered + allowed_out.answered
        tried, leaked = denied.asked + denied_out.asked, denied.answered + denied_out.answered
        self.report.claim(
            Claim(
                name="kill -9 of the agent changes no answer",
                before=f"{before.name} (id {before.id})",
                after=f"{asked - answered} of {asked:,} wrongly denied, {leaked} of {tried} wrongly allowed; "
                f"id {dead.id} without agent, {after.id} with the next",
                evidence=f"new connections in and out, tracked, untracked and failsafe, {alone} of them while no agent "
                f"lived; the next one took over in {took_s * 1e3:.0f} ms",
                holds=before.id == dead.id == after.id != 0
                and answered == asked
                and leaked == 0
                and alone > 20
                and min(denied.asked, denied_out.asked) > 5,
                expected="the same program, and every answer as before",
            )
        )

    def told(self) -> None:
        """The agent's own account."""
        done, told = self.lab.tortie("status"), facts.enforced(self.lab)
        self.report.screen(done.stdout.replace(f"{self.lab.folder}/", ""))
        rule = told.packets.get((f"GlobalNetworkPolicy({documents.LOCKDOWN_POLICY})", 0), 0)
        end = told.packets.get(TIER_END, 0)
        self.report.claim(
            Claim(
                name="tortie status accounts for it",
                before="-",
                after=f"{INTERFACE} {'enforced' if told.is_enforced else 'not enforced'} in {told.where}",
                evidence=f"exit code {done.returncode}; {rule:,} packets allowed by the policy's first rule, "
                f"{end:,} denied at the end of its tier",
                holds=done.returncode == 0 and told.is_enforced and told.where == "xdp" and rule > 0 < end,
                expected="enforced in xdp, exit code 0, packets at both",
            )
        )

    def lifted(self) -> None:
        """Nothing of it stays."""
        self.lab.must("delete", "-f", self.web)
        self.lab.must("delete", "-f", self.policy)
        now, program = self._look(), facts.attached(self.lab)
        self.report.claim(
            Claim(
                name="deleted documents leave nothing behind",
                before="locked down",
                after=f"port {services.WEB_PORT}: {now.web[0]}; XDP program: {program.name or 'none'}",
                evidence="every answer is the one from before the lockdown" if now == self.open else f"now {now}",
                holds=now == self.open and not program.name,
                expected=f"as before: {self.open}",
            )
        )

    def outlived(self) -> None:
        """The two old connections, after everything."""
        asked, answered = sum(one.asked for one in self.old), sum(one.answered for one in self.old)
        broken = [one.broken for one in self.old if one.broken]
        slowest_ms = max(one.slowest_s for one in self.old) * 1e3
        self.report.claim(
            Claim(
                name="both old connections lived through all of it",
                before=f"{asked:,} messages",
                after=f"{asked - answered} lost, {len(broken)} connections broken",
                evidence="arming, a policy added and corrected, kill -9, another agent, lifting; "
                f"the slowest answer took {slowest_ms:.0f} ms" + "".join(f"; {why}" for why in broken),
                holds=asked == answered and not broken and min(one.answered for one in self.old) > 100,
                expected="no message lost, none broken",
            )
        )


def _all(answers: list[str]) -> str:
    """Once, if all are alike."""
    return answers[0] if len(set(answers)) == 1 else ", ".join(answers)


def _ping(seconds: float | None) -> str:
    return "no answer" if seconds is None else f"answered in {seconds * 1e3:.2f} ms"
