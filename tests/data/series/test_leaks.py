"""Columns that are a target moved, in whatever clothes, are caught; what only goes with it is not."""

from __future__ import annotations

import numpy as np
import pytest

from recur.data.series import Columns, Panel, leaks, read_series
from recur.data.series.leaks import check_leaks
from recur.errors import DataError, OptionError

STEPS = 400
DRAW = np.random.default_rng(0)
WALK = np.cumsum(DRAW.standard_normal(STEPS)) + 5 * np.sin(np.arange(STEPS) / 4)


def panel(y: np.ndarray = WALK, role: str = "past_only", **columns: np.ndarray) -> Panel:
    roles = {"past_only": (), "known_future": (), "static": ()} | {role: tuple(columns)}
    targets = ("y", *roles.pop("targets", ()))
    return read_series({"t": np.arange(len(y)), "y": y, **columns}, Columns(time="t", targets=targets, **roles))


def moved(values: np.ndarray, step: int) -> np.ndarray:
    """Return what comes so many steps later, missing at the end or the beginning."""
    found = np.full(len(values), np.nan)
    if step >= 0:
        found[: len(values) - step] = values[step:]
    else:
        found[-step:] = values[:step]
    return found


def with_holes(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[[50, 170, 280]] += 40
    return values


DISGUISES = {
    "as it is, but once": lambda y: np.append(y[:-1], np.nan),
    "a line of it": lambda y: 3 - 2 * y,
    "rounded": lambda y: np.round(y, 1),
    "with values that are off": with_holes,
    "with values that are missing": lambda y: np.where(np.arange(len(y)) % 3 == 0, np.nan, y),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize(
    ("role", "step", "said"),
    [
        ("past_only", 1, "1 step later"),
        ("past_only", 4, "4 steps later"),
        ("targets", 2, "2 steps later"),
        ("known_future", 0, "at once"),
        ("known_future", 3, "3 steps later"),
        ("known_future", -3, "3 steps before"),
    ],
)
def test_a_planted_leak_is_caught(disguise: str, role: str, step: int, said: str) -> None:
    leaking = panel(role=role, z=moved(DISGUISES[disguise](WALK), step))
    with pytest.raises(
        DataError, match=rf"^column 'z': is in {role}, but is the target 'y' {said}, or is made of it, so the model "
    ):
        check_leaks(leaking, 4)
    check_leaks(leaking, 4, trusted=("z",))


def test_a_leak_in_every_series_has_its_own_place() -> None:
    y = np.concatenate([WALK[:200], 1000 + WALK[200:]])
    z = np.concatenate([moved(WALK[:200], 1), moved(WALK[200:], 1)])
    data = {"t": np.tile(np.arange(200), 2), "id": np.repeat(["a", "b"], 200), "y": y, "z": z}
    with pytest.raises(DataError, match="column 'z': is in past_only, but is the target 'y' 1 step later"):
        check_leaks(read_series(data, Columns(series_id="id", time="t", targets="y", past_only="z")), 2)


PRICES = np.exp(np.cumsum(0.02 * DRAW.standard_normal(STEPS)))


@pytest.mark.parametrize(
    ("y", "z", "role", "said"),
    [
        (WALK, moved(WALK, 1) - WALK, "past_only", "1 step later"),
        (WALK, 3 - 2 * (moved(WALK, 3) - WALK), "past_only", "3 steps later"),
        (WALK, WALK - moved(WALK, -1), "known_future", "at once"),
        (PRICES, moved(PRICES, 1) / PRICES - 1, "past_only", "1 step later"),
        (PRICES, np.log(moved(PRICES, 4) / PRICES), "past_only", "4 steps later"),
    ],
)
def test_the_change_to_a_later_value_is_caught(y: np.ndarray, z: np.ndarray, role: str, said: str) -> None:
    with pytest.raises(DataError, match=f"column 'z': is in {role}, but is the target 'y' {said}"):
        check_leaks(panel(y, role, z=z), 4)


LONG = np.cumsum(np.random.default_rng(1).standard_normal(3000))
LATE = np.where(np.arange(3000) < 600, 0, LONG)
RARE = np.where((np.arange(3000) > 1050) & (np.arange(3000) < 1250), LONG, 0)


@pytest.mark.parametrize(
    ("y", "z"),
    [
        # A product that was not sold at first.
        (LATE, moved(LATE, 1)),
        # One that was sold only between the places that are looked at first.
        (RARE, moved(RARE, 1)),
        # A sensor that was switched on later.
        (LONG, np.where(np.arange(3000) < 600, DRAW.standard_normal(3000), moved(LONG, 1))),
    ],
)
def test_a_leak_need_not_be_there_from_the_beginning(y: np.ndarray, z: np.ndarray) -> None:
    with pytest.raises(DataError, match="column 'z': is in past_only, but is the target 'y' 1 step later"):
        check_leaks(panel(y, z=z), 2)


@pytest.mark.parametrize(("first", "last", "every"), [(600, 1200, 1), (1800, 2400, 1), (600, 1200, 5), (0, 3000, 40)])
def test_a_column_that_is_missing_in_places_is_looked_at_where_it_is(
    first: int, last: int, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = np.arange(3000)
    is_there = (time >= first) & (time < last) & (time % every == 0)
    with pytest.raises(DataError, match="column 'z': is in past_only, but is the target 'y' 1 step later"):
        check_leaks(panel(LONG, z=np.where(is_there, moved(LONG, 1), np.nan)), 4)
    looked: list[int] = []
    share = leaks._share

    def counted(rows: leaks._Rows, place: slice, *rest: int) -> float | None:
        looked.append(len(rows.known(rest[0], place)))
        return share(rows, place, *rest)

    monkeypatch.setattr(leaks, "_share", counted)
    check_leaks(panel(LONG, z=np.where(is_there, DRAW.standard_normal(3000), np.nan)), 4)
    # No more than a place holds, or of a column that has so few values all of them.
    assert 0 < max(looked) <= 500


def test_how_fast_a_target_moves_is_no_leak() -> None:
    # A pendulum without any noise, and how fast it swings; then Lorenz' three.
    state, swung = np.array([2.0, 0.0]), []
    for _ in range(10 * STEPS):
        state = state + 0.005 * np.array([state[1], -np.sin(state[0])])
        swung.append(state)
    angle, speed = np.array(swung)[::10].T
    check_leaks(panel(angle, z=speed), 4)
    point, path = np.ones(3), []
    for _ in range(10 * STEPS):
        x, y, z = point
        point = point + 0.002 * np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])
        path.append(point)
    one, other, third = np.array(path)[::10].T
    check_leaks(panel(one, z=other, w=third), 4)
    check_leaks(panel(third, z=one, w=other), 4)


@pytest.mark.parametrize(
    ("role", "z"),
    [
        ("past_only", WALK),
        ("past_only", moved(WALK, -1)),
        ("past_only", moved(WALK + 0.3 * DRAW.standard_normal(STEPS), 1)),
        ("targets", moved(WALK + 0.3 * DRAW.standard_normal(STEPS), 2)),
        ("known_future", moved(WALK, -4)),
        ("known_future", WALK + 0.3 * DRAW.standard_normal(STEPS)),
        ("past_only", np.ones(STEPS)),
    ],
)
def test_what_is_known_in_time_is_no_leak(role: str, z: np.ndarray) -> None:
    check_leaks(panel(role=role, z=z), 4)


def test_what_a_targets_own_past_tells_is_no_leak() -> None:
    time = np.arange(STEPS)
    check_leaks(panel(np.sin(time / 3), "known_future", z=2 * np.sin(time / 3) + 1), 4)
    check_leaks(panel(time.astype(float), "past_only", z=time + 1.0), 4)
    # Smooth series follow each other closely, whichever comes first.
    smooth = np.convolve(DRAW.standard_normal(STEPS + 49), np.ones(50) / 50, "valid")
    check_leaks(panel(smooth, "past_only", z=smooth + 0.01 * DRAW.standard_normal(STEPS)), 4)


def test_rare_events_beside_each_other_are_no_leak() -> None:
    sale, visit = (DRAW.random((2, STEPS)) < 0.04).astype(float)
    check_leaks(panel(sale, "past_only", z=visit), 4)
    check_leaks(panel(sale, "known_future", z=visit), 4)


def test_only_what_is_read_can_be_trusted() -> None:
    with pytest.raises(OptionError, match=r"^trusted: 'w' is no column of numbers that is read; leave it out\.$"):
        check_leaks(panel(z=WALK), 4, trusted=("w",))
