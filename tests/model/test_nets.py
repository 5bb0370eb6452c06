"""Many networks as one value: the same ones as a set of `Net`, from whatever texts and in whatever order."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.model.address import InvalidAddress, Net, parse_net
from tortie.model.nets import Nets

TEXTS = ("10.0.0.0/8", "10.1.2.3", "10.1.2.3/24", "0.0.0.0/0", "255.255.255.255/32", "2001:db8::/32", "::1", "::/0")
MAPPED = "::ffff:10.9.8.7/120"
WRONG = (
    "10.0.0.0/33",
    "10.0.0/8",
    "10.0.0.01",
    "10.0.0.0/08",
    "10.0.0.256",
    "1.2.3.4\n5.6.7.8",
    "",
    "a.b.c.d/8",
    "1.2.3.٤/8",
)


def nets() -> st.SearchStrategy[list[Net]]:
    four = st.builds(lambda a, n: Net(4, a >> (32 - n) << (32 - n), n), st.integers(0, 2**32 - 1), st.integers(0, 32))
    six = st.builds(
        lambda a, n: Net(6, a >> (128 - n) << (128 - n), n), st.integers(0, 2**128 - 1), st.integers(0, 128)
    )
    few = st.integers(0, 5).map(lambda number: Net(4, number << 8, 24))
    return st.lists(st.one_of(four, six, few))


@given(nets())
def test_it_holds_each_network_once(given: list[Net]) -> None:
    made = Nets(given)
    assert sorted(made) == sorted(set(given))
    assert all(type(net) is Net for net in made)
    assert len(made) == len(set(given))


@given(nets(), st.randoms(use_true_random=False))
def test_the_order_in_which_they_were_given_makes_no_difference(given: list[Net], chance: Random) -> None:
    made = Nets(given)
    chance.shuffle(given)
    assert Nets(given) == made
    assert hash(Nets(given)) == hash(made)


@given(nets(), nets(), nets())
def test_a_difference_is_that_of_sets(common: list[Net], first: list[Net], second: list[Net]) -> None:
    one, other = Nets(common + first), Nets(common + second)
    assert one - other == set(common + first) - set(common + second)
    assert (one == other) is (set(common + first) == set(common + second))


@given(st.lists(st.sampled_from((*TEXTS, MAPPED))))
def test_texts_are_read_as_one_by_one(texts: list[str]) -> None:
    assert Nets.parse(texts) == Nets(parse_net(text, strict=False) for text in texts)


def nearly() -> st.SearchStrategy[str]:
    """Texts that are a network, or would be one but for a character or two."""
    number = st.one_of(
        st.integers(0, 300).map(str), st.sampled_from(("", "00", "01", "1e2", "-1", "+1", "1.", "9" * 30))
    )
    head = st.lists(number, min_size=3, max_size=5).map(".".join)
    tail = st.one_of(st.just(""), st.integers(0, 34).map("/{}".format), number.map("/{}".format))
    odd = st.text(alphabet="0123456789./:,[] \n\r\t٣\ud800", max_size=12)
    return st.one_of(st.builds("{}{}".format, head, tail), odd, st.sampled_from((*TEXTS, MAPPED, *WRONG)))


def outcome(read: Callable[[], Nets]) -> Nets | str:
    try:
        return read()
    except InvalidAddress as error:
        return str(error)


@settings(max_examples=500)
@given(st.lists(st.sampled_from(TEXTS[:5])), nearly(), st.lists(st.sampled_from(TEXTS)))
def test_nearly_right_texts_are_read_or_refused_as_one_by_one(before: list[str], text: str, after: list[str]) -> None:
    texts = [*before, text, *after]
    alone = outcome(lambda: Nets([parse_net(each, strict=False) for each in texts]))
    assert outcome(lambda: Nets.parse(texts)) == alone


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_text_among_good_ones_is_told_as_by_itself(wrong: str) -> None:
    with pytest.raises(InvalidAddress) as alone:
        parse_net(wrong, strict=False)
    with pytest.raises(InvalidAddress) as found:
        Nets.parse([*TEXTS, wrong, "10.0.0.0/8"])
    assert str(found.value) == str(alone.value)
