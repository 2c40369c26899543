from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.persistence.ledger import Gap, find_gaps


def test_gaps_name_missing_and_doubled_due_times() -> None:
    assert find_gaps([], 0, 4) == [Gap(0, 4, 0)]
    assert find_gaps([(0, 0), (1, 3), (4, 4)], 0, 4) == []
    assert find_gaps([(0, 1), (1, 1), (3, 9)], 0, 4) == [Gap(1, 1, 2), Gap(2, 2, 0)]
    assert find_gaps([(0, 9)], 5, 4) == []


spans = st.lists(st.tuples(st.integers(-3, 15), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@settings(deadline=None)
@given(spans, st.integers(0, 4), st.integers(0, 15))
def test_gaps_are_what_counting_one_by_one_gives(rows: list[tuple[int, int]], start: int, up_to: int) -> None:
    counted = Counter(index for first, last in rows for index in range(first, last + 1))
    expected = {index: counted[index] for index in range(start, up_to + 1) if counted[index] != 1}
    found = find_gaps(rows, start, up_to)
    assert {index: gap.rows for gap in found for index in range(gap.first, gap.last + 1)} == expected
    assert all(a.last + 1 < b.first or a.rows != b.rows for a, b in pairwise(found))
