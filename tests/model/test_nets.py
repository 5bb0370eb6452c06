"""Many networks as one value: the same ones as a set of `Net`, from whatever texts and in whatever order."""

from random import Random

import pytest
from hypothesis import given
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


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_text_among_good_ones_is_told_as_by_itself(wrong: str) -> None:
    with pytest.raises(InvalidAddress) as alone:
        parse_net(wrong, strict=False)
    with pytest.raises(InvalidAddress) as found:
        Nets.parse([*TEXTS, wrong, "10.0.0.0/8"])
    assert str(found.value) == str(alone.value)
