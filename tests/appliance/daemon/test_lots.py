"""Who gets which photos: no photo is on two sides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.daemon.lots import FEWEST_RECENT, Held, first_lots, later_lots, to_anchor, to_set_aside

ROLES = st.sampled_from([None, None, None, "anchored", "golden"])


@st.composite
def held(draw: st.DrawFn) -> list[Held]:
    roles = draw(st.lists(st.tuples(ROLES, st.booleans()), max_size=60))
    return [
        Held(number=number, sha256=f"{(number * 7919) % 997:03d}", role=role, is_suspicious=suspicious)
        for number, (role, suspicious) in enumerate(roles, start=1)
    ]


@given(held(), st.integers(0, 60), st.integers(10, 40), st.integers(10, 20))
def test_no_judge_is_in_a_bank(photos: list[Held], last: int, maximum: int, recent: int) -> None:
    """And none of the recent ones can have been in the champion's, or is suspicious."""
    lots = later_lots(photos, champion_last=last, maximum=maximum, recent_count=recent)
    support = {photo.number for photo in lots.support}
    assert not support & {photo.number for photo in (*lots.golden, *lots.recent)}
    assert all(photo.number > last and not photo.is_suspicious for photo in lots.recent)
    assert {photo.number for photo in photos if photo.role == "anchored"} <= support
    assert len(lots.recent) <= recent
    anchored = sum(photo.role == "anchored" for photo in photos)
    assert len(lots.support) <= max(maximum, anchored)


@given(held(), st.integers(10, 40))
def test_a_first_calibration_leaves_the_golden_set_alone(photos: list[Held], maximum: int) -> None:
    """It takes all others, or as many as it may."""
    lots = first_lots(photos, maximum=maximum)
    others = [photo for photo in photos if photo.role != "golden"]
    assert len(lots.support) == min(len(others), maximum)
    assert all(photo.role != "golden" for photo in lots.support)


def plain(count: int, start: int = 1) -> list[Held]:
    return [Held(number=number, sha256=f"{number:03d}") for number in range(start, start + count)]


def test_few_new_photos_join_the_bank_rather_than_judge() -> None:
    """Half of what is new judges at most, and fewer than a handful would tell nothing."""
    few = later_lots(plain(2 * FEWEST_RECENT - 1), champion_last=0, maximum=40, recent_count=10)
    assert few.recent == ()
    enough = later_lots(plain(2 * FEWEST_RECENT), champion_last=0, maximum=40, recent_count=10)
    assert [photo.number for photo in enough.recent] == [6, 7, 8, 9, 10]


def test_what_comes_later_than_the_newest_of_a_bank_is_new_to_it() -> None:
    """Whatever the order of the contents."""
    lots = first_lots(plain(30), maximum=10)
    assert lots.last == max(photo.number for photo in lots.support) == 10
    assert first_lots([], maximum=10).last == 0


def test_the_golden_set_is_of_the_first_new_photos_until_it_is_full() -> None:
    """Suspicious ones are not judges."""
    photos = [
        *plain(2),
        Held(number=3, sha256="003", role="golden"),
        Held(number=4, sha256="004", is_suspicious=True),
    ]
    chosen = to_set_aside([*photos, *plain(5, start=5)], champion_last=2, count=3)
    assert [photo.number for photo in chosen] == [5, 6]
    assert to_set_aside([*photos, *plain(5, start=5)], champion_last=2, count=1) == []


def test_anchored_are_a_share_of_the_most_that_a_bank_takes() -> None:
    """Suspicious photos never are."""
    photos = [*plain(20), Held(number=21, sha256="000", is_suspicious=True)]
    assert [photo.number for photo in to_anchor(photos, maximum=40, share=0.3)] == list(range(1, 13))
    assert len(to_anchor(photos[:5], maximum=40, share=0.3)) == 5
