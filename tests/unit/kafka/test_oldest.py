"""Which places can be read together, with one client."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nrtctl.kafka.oldest import rounds

PLACES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 3)), unique=True
)


def test_two_pipelines_of_one_topic_are_read_one_after_the_other() -> None:
    places = [("a", 0, 5), ("a", 1, 7), ("b", 0, 5), ("a", 0, 9)]
    assert [sorted(each) for each in rounds(places)] == [
        [("a", 0, 5), ("a", 1, 7), ("b", 0, 5)], [("a", 0, 9)],
    ]  # fmt: skip
    assert list(rounds([])) == []


@given(PLACES)
def test_each_place_is_read_once_and_no_partition_twice_at_a_time(
    places: list[tuple[str, int, int]],
) -> None:
    made = list(rounds(places))
    assert sorted(each for one in made for each in one) == sorted(places)
    for one in made:
        assert len({each[:2] for each in one}) == len(one)
