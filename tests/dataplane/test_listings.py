"""One policy in the words of each dataplane: the eBPF listing, and the page that shows them side by side."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

from golden_host import MEMBERS, host, random_host

from tortie.dataplane.ebpf.listing import listing
from tortie.dataplane.telling import described
from tortie.model.desired import EndpointState
from tortie.model.packet import Direction
from tortie.model.policy import Stage
from tortie.model.stages import stage_groups

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "host"
PAGE = ROOT / "docs" / "listings.md"
STATE = replace(host(), rejects=True)
NAMES = {"nftables": "nftables.nft", "iptables": "iptables.rules", "ebpf": "ebpf.txt"}


def test_the_listing_is_the_golden_one() -> None:
    assert (GOLDEN / NAMES["ebpf"]).read_text() == listing(STATE, MEMBERS)


def test_every_rule_and_every_end_that_denies_is_listed_by_the_name_that_the_other_tables_have() -> None:
    rng = Random(7)
    for _ in range(30):
        states, sets, _ = random_host(rng)
        for state in states:
            lines = listing(state, sets).splitlines()
            named = [line.strip().rpartition(": ")[0] for line in lines]
            for ref, count in refs(state):
                assert named.count(described(ref)) == count, described(ref)


def refs(state: EndpointState) -> Iterator[tuple[object, int]]:
    """Each rule, and in how many classes and directions it stands."""
    found = [
        ref
        for direction in Direction
        for stage in Stage
        if stage is Stage.NORMAL or state.stage(stage, direction)
        for group in stage_groups(state, stage, direction)
        for ref, _ in group.rules
    ]
    return ((ref, found.count(ref)) for ref in dict.fromkeys(found))


def test_the_page_shows_each_rule_of_a_policy_in_the_words_of_each_dataplane() -> None:
    """Write it anew with what `page` gives."""
    assert PAGE.read_text("utf-8") == page(PAGE.read_text("utf-8"))


def page(text: str) -> str:
    """The page with its blocks as the golden files are."""
    return re.sub(
        r"(<!-- (\w+): (.*?) -->\n```text\n).*?(```\n)",
        lambda found: found[1] + "".join(f"{line}\n" for line in shown(found[2], found[3])) + found[4],
        text,
        flags=re.S,
    )


def shown(dataplane: str, what: str) -> list[str]:
    """The lines about a rule where it arrives in the normal class."""
    text = (GOLDEN / NAMES[dataplane]).read_text()
    match dataplane:
        case "nftables":
            found = [line.strip() for line in text.splitlines() if f'"{what}"' in line and "name normal-in/" in line]
        case "iptables":
            found = [line for line in text.splitlines() if f'"{what}"' in line and " tortie-ni/" in line]
        case _:
            (stage,) = re.findall(r"^ingress normal\n(.*?)\n\n", text, re.M | re.S)
            (rule,) = re.findall(rf"^        {re.escape(what)}: .*\n(?:            .*\n)*", stage, re.M)
            outcomes = [line for line in stage.splitlines() if line.startswith("    outcome") and what in line]
            found = [line.removeprefix("        ") for line in rule.splitlines()] + [line.strip() for line in outcomes]
    assert found, (dataplane, what)
    return found
