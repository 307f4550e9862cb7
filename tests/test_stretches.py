from made_windows import window
from mien.curves import curves
from mien.stretches import stretches


def spans(*windows: tuple[float, float]) -> list[tuple[float, float]]:
    rows = [window(start, length=length) for start, length in windows]
    return [(stretch.start_s, stretch.end_s) for stretch in stretches(rows)]


def test_each_window_speaks_for_a_hop_and_the_ends_for_more() -> None:
    assert spans((0, 4), (1, 4), (2, 4)) == [(0, 2.5), (2.5, 3.5), (3.5, 6)]


def test_windows_side_by_side_speak_for_themselves() -> None:
    assert spans((0, 4), (4, 4)) == [(0, 4), (4, 8)]


def test_hops_longer_than_windows_leave_gaps() -> None:
    assert spans((0, 4), (10, 4)) == [(0, 4), (10, 14)]


def test_one_window_and_a_shorter_last_one() -> None:
    assert spans((0, 1.5)) == [(0, 1.5)]
    assert spans((0, 4), (1, 3)) == [(0, 2.25), (2.25, 4)]


def test_people_share_a_stretch() -> None:
    rows = [window(start, person=person) for start in (0, 1) for person in (1, 2)]
    found = list(stretches(rows))
    assert [[each.person for each in stretch.windows] for stretch in found] == [[1, 2], [1, 2]]
    assert found[0].end_s == found[1].start_s == 2.5


def test_curves_break_where_there_is_no_answer_and_where_a_person_is_away() -> None:
    rows = [
        window(0, person=1),
        window(0, person=2),
        window(1, person=1, emotion=None),
        window(2, person=1),
        window(2, person=2),
        window(3, person=None, emotion=None),
    ]
    found = curves(rows)
    assert list(found) == [1, 2, None]
    assert [(curve.times_s[0], curve.times_s[-1]) for curve in found[1]] == [(0, 2.5), (3.5, 4.5)]
    assert len(found[2]) == 2
    assert found[None] == []
    assert all(curve.times_s == sorted(curve.times_s) for curve in found[1])
