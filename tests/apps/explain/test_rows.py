"""Rows are read from top to bottom: the first that fits a packet is its own, for hosts at random."""

from random import Random

from hypothesis import given, settings

from apps.explain.test_study import CHANCE, WAYS, asked, plain
from hosts import random_host
from tortie.apps.explain.answers import NetsAnswer, OutcomeAnswer
from tortie.apps.explain.rows import Names, rows_of
from tortie.apps.explain.study import Path, Question, study
from tortie.apps.labelled import Things
from tortie.apps.packets import protocol_name
from tortie.apps.sentences import shown_index
from tortie.apps.trace.origins import Origins
from tortie.model.address import parse_net
from tortie.model.conntrack import Relation
from tortie.model.packet import Direction, Packet
from tortie.model.passage import pass_through


def is_in(nets: NetsAnswer | None, version: int, address: int) -> bool | None:
    """None where the answer names too few of the networks to tell."""
    if nets is None or nets["is_everyone"]:
        return True
    found = any(parse_net(net, strict=True).contains(version, address) for net in nets["nets"])
    return None if not found and nets["count"] > len(nets["nets"]) else found


def is_among(spans: list[str] | None, value: int | None, name: str = "") -> bool:
    if spans is None:
        return True
    if value is None:
        return False
    stretches = [span.partition(":") for span in spans if span != name]
    return name in spans or any(
        first.isdigit() and int(first) <= value <= int(last or first) for first, _, last in stretches
    )


def fits(row: OutcomeAnswer, packet: Packet, direction: Direction) -> bool | None:
    remote, near = packet.source, packet.destination
    if direction is Direction.EGRESS:
        remote, near = near, remote
    known = (
        is_among(row["protocols"], packet.protocol, protocol_name(packet.protocol)),
        is_among(row["ports"], packet.destination_port),
        is_among(row["source_ports"], packet.source_port),
        is_in(row["remotes"], packet.version, remote),
        is_in(row["nears"], packet.version, near),
    )
    if False in known:
        return False
    return None if None in known else True


@settings(max_examples=40, deadline=None)
@given(CHANCE)
def test_the_first_row_that_fits_a_packet_says_what_becomes_of_it(rng: Random) -> None:
    host, case = random_host(rng)
    host = plain(host)
    names = Names(host, Things((), {}, {}), Origins(()))
    for path in (Path.TO_HOST, Path.FROM_HOST, Path.FORWARD_IN):
        rows = rows_of(study(host.endpoints["eth0"], path, host, Question()), path.direction, names)
        for packet in asked(rng, case):
            passage = pass_through(packet, WAYS[path], host, Relation.NEW)
            rule = None if passage.decided is None else passage.decided.trace.rule
            number = None if rule is None else shown_index(rule)
            fitting = [one for one in rows if fits(one, packet, path.direction) is not False]
            assert fitting
            for row in fitting:
                decides = row["policy"] == ("" if rule is None else str(rule.policy))
                if decides and (row["verdict"], row["rule"]) == (passage.verdict.value, number):
                    break
                assert row["is_partial"] or fits(row, packet, path.direction) is None, (packet, row, rows)
            else:
                raise AssertionError((packet, rows))
