"""Why a rule does not match: the field that fails, for every rule and packet."""

from hypothesis import given

from strategies import Meeting, meetings
from tortie.apps.trace.conditions import counted, field_of, listed, why_not, words
from tortie.model.policy import Policy


def policies(meeting: Meeting) -> list[Policy]:
    endpoint = meeting.case.endpoint
    return [policy for groups in endpoint.tiers.values() for group in groups for policy in group.policies]


@given(meetings())
def test_a_rule_has_a_reason_exactly_where_it_does_not_match(meeting: Meeting) -> None:
    for policy in policies(meeting):
        for rule in (*policy.ingress, *policy.egress):
            for packet in meeting.packets:
                reason = why_not(rule, packet, meeting.case.sets)
                assert bool(reason) is (rule.holds(packet, meeting.case.sets) is False)
                if reason:
                    assert any(reason.startswith(f"{field_of(match)} ") for match in rule.matches)


@given(meetings())
def test_a_rule_in_words_names_every_field(meeting: Meeting) -> None:
    for policy in policies(meeting):
        for rule in policy.ingress:
            told = words(rule)
            assert told.startswith(rule.action.value)
            assert all(field_of(match) in told for match in rule.matches)


def test_long_lists_are_cut_and_counted() -> None:
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert (counted(1, "address"), counted(1200, "address"), counted(2, "rule")) == (
        "1 address",
        "1,200 addresses",
        "2 rules",
    )
