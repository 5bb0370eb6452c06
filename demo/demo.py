"""tortie for real: policy in YAML becomes XDP programs that speed up a redis-server, guard it, and lock its host down.

    make demo            the story and its measured claims, about a minute; leaves nothing behind
    make demo KEEP=1     the same, and leaves the lab up to play with
    make demo-clean      removes what was left up

Exit code: 0 if every claim holds, 1 if one does not or something broke, 130 after an interrupt.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import facts
import flood
import services
import speed
from acceleration import Acceleration
from documents import INTERFACE
from lab import CLIENT, CLIENT6, HOST, HOST6, LISTED, TORTIE, Lab, LabError
from lockdown import Lockdown
from report import Report


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keep", action="store_true", help="leave the lab up")
    options.add_argument("--clean", action="store_true", help="remove labs that were left up, and do nothing else")
    given = options.parse_args()
    report = Report()
    if os.geteuid():
        report.problem("network namespaces and XDP need root: run `make demo` as root")
        return 1
    return clean(report) if given.clean else run(report, keep=given.keep)


def clean(report: Report) -> int:
    """Remove every lab that nobody works with any more."""
    wrong: list[str] = []
    for lab in Lab.left():
        found = lab.remove()
        for text in found:
            report.problem(text)
        if not found:
            report.step(f"removed {lab.folder}")
        wrong += found
    return int(bool(wrong))


def run(report: Report, *, keep: bool) -> int:
    """The whole demonstration."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    lab, is_whole, code = Lab.make(), False, 1
    try:
        tell(lab, report)
        is_whole = True
        report.table()
        code = int(bool(report.failed))
    except KeyboardInterrupt:
        report.problem("interrupted")
        code = 130
    except Exception as error:
        # Whatever broke, the lab goes first; a programming mistake still shows itself as one.
        if not isinstance(error, LabError):
            raise
        report.problem(str(error))
    finally:
        # A second Ctrl-C would leave half of it behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if keep and is_whole:
            lab.keep()
            invite(lab)
        else:
            left = lab.remove()
            for text in left:
                report.problem(f"left behind: {text}")
            code = code or int(bool(left))
    verdict = f"{len(report.claims) - len(report.failed)} of {len(report.claims)} claims hold"
    report.title(f"{verdict}; {time.monotonic() - started:.0f} s{'' if keep and is_whole else '; nothing left behind'}")
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def tell(lab: Lab, report: Report) -> None:
    """The story."""
    report.title("The stage: a host and a client, two network namespaces joined by a veth pair")
    lab.up()
    report.step(f"host {HOST}, {HOST6} on {INTERFACE}; client {CLIENT}, {CLIENT6}")
    serve(lab)
    report.step(
        f"on the host: redis, a web server on port {services.WEB_PORT}, a stand-in for ssh on {services.SSH_PORT}"
    )
    part = Acceleration(lab, report)
    part.before()
    took_s = lab.start_agent()
    report.step(f"tortie agent runs there with its embedded datastore, after {took_s * 1e3:.0f} ms")
    report.title("Part one: redis accelerated. First, documents with mistakes")
    part.refusals()
    report.title("The article's two documents: a host endpoint, and an untracked policy that lets redis through")
    part.accelerated()
    report.title("A flood from a denied set of addresses")
    part.flooded()
    part.over()
    lockdown = Lockdown(lab, report)
    lockdown.tell()
    report.title("What it costs: short connections a second (interleaved rounds; this machine is not quiet)")
    speed.compare(lab, report, {speed.UNTRACKED: part.redis, speed.TRACKED: lockdown.policy})


def serve(lab: Lab) -> None:
    """Start every server, and wait until they answer."""
    words = ("--save", "", "--appendonly", "no", "--protected-mode", "no", "--daemonize", "no")
    pinned = ("taskset", "--cpu-list", str(facts.server_cpu()), "redis-server")
    lab.start(lab.host, *pinned, "--port", str(flood.PORT), *words, log="redis.log")
    (lab.folder / "web").mkdir()
    web = ("-m", "http.server", str(services.WEB_PORT), "--bind", "::", "--protocol", "HTTP/1.1")
    lab.start(lab.host, sys.executable, *web, "--directory", lab.folder / "web", log="web.log")
    greeter = Path(__file__).with_name("greeter.py")
    for namespace, port, greeting in (
        (lab.host, services.SSH_PORT, services.SSH_GREETING),
        (lab.client, services.HTTPS_PORT, services.OTHER_GREETING),
        (lab.client, services.OTHER_PORT, services.OTHER_GREETING),
    ):
        lab.start(namespace, sys.executable, greeter, str(port), greeting, log="greeter.log")
    facts.until_served(lab)


def invite(lab: Lab) -> None:
    """How to play with a lab that stays up; it is locked down again, and has the denied set."""
    for name in ("lockdown.yaml", "deny.yaml"):
        lab.must("apply", "-f", lab.folder / name)
    print(
        f"""
The lab is up. Play with it:

  export TORTIE_SOCKET={lab.socket}
  {TORTIE} status
  {TORTIE} get gnp -o wide
  {TORTIE} trace {CLIENT} {HOST} tcp/6379 --in {INTERFACE}
  {TORTIE} trace {LISTED} {HOST} tcp/6379 --in {INTERFACE}
  {TORTIE} trace {CLIENT} {HOST} tcp/8080 --in {INTERFACE}
  {TORTIE} apply -f {lab.folder}/web.yaml                        # port 8080, untracked
  $EDITOR {lab.folder}/deny.yaml && {TORTIE} apply -f {lab.folder}/deny.yaml
  nsenter --net={lab.client.path} redis-cli -h {HOST}          # as the client
  nsenter --net={lab.host.path} bpftool net                    # as the host
  tail -f {lab.agent_log}

Remove it:  make demo-clean"""
    )


if __name__ == "__main__":
    sys.exit(main())
