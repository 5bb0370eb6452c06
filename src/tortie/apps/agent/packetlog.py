"""Packets that met Log rules, as lines of the agent's log."""

import asyncio
import logging

from tortie.apps.packets import describe
from tortie.dataplane.driver import Driver
from tortie.kernel.errors import KernelError
from tortie.model.verdict import RuleRef

log = logging.getLogger("tortie.packet")

EVERY_S = 0.5
MOST_LINES = 50
"""In one round; a flood of packets must not become a flood of lines. The rule's counter is exact all the same."""


async def log_packets(driver: Driver) -> None:
    """Drain the driver's events until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            drain(driver)
        except Exception:  # a line that is missing must not end the agent
            log.exception("packets that met Log rules could not be told, in a way nobody foresaw")


def drain(driver: Driver) -> None:
    """Log the packets that wait."""
    try:
        events = driver.log_events()
    except KernelError as error:
        log.warning("%s", error)
        return
    for event in events[:MOST_LINES]:
        rules = ", ".join(_name(rule) for rule in event.rules)
        verdict = f": {event.verdict}" if event.verdict else ""
        log.info("%s: %s: %s%s", event.interface, describe(event.packet), rules, verdict)
    if len(events) > MOST_LINES:
        log.info("and %d more packets that met Log rules", len(events) - MOST_LINES)


def _name(rule: RuleRef) -> str:
    """The rule, or what decided without being one."""
    return f"{rule.policy} rule {rule.index}" if rule.index >= 0 else f"end of {rule.policy}"
