"""The guard on made-up histories: each failure is named, a healthy run never is, and alarms come
once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from fauxlab.training.gan.collapse_guard import (
    COLLAPSING,
    HEALTHY,
    OVERFITTING,
    WARM_UP,
    WINNING,
    Assessment,
    Guard,
    Signals,
    assess,
)

GOOD = Signals(
    images=0,
    distance=1.0,
    spread=0.95,
    recall=0.4,
    near_duplicates=0.005,
    separation=0.7,
    overfit=0.1,
    real_sign=0.4,
    fake_sign=-0.4,
)


# What an untrained generator looks like: near and widely spread, to a random feature network.
NOISE = [
    replace(GOOD, images=10_000 * i, distance=0.5, spread=1.3, recall=0.0)
    for i in range(1, WARM_UP + 1)
]


def history(distances: Iterable[float], **last: float) -> list[Signals]:
    """Warmed up, then checks with these distances, otherwise good; `last` are the last check's
    signals.
    """
    checks = [
        replace(GOOD, images=10_000 * i, distance=d)
        for i, d in enumerate(distances, start=WARM_UP + 1)
    ]
    return [*NOISE, *checks[:-1], replace(checks[-1], **last)]


FALLING, TURNED = (9, 6, 4, 3, 2.5, 2.3), (9, 6, 4, 3, 3.3, 3.6)


# As of `r3-32` without its penalties, on the point of collapse.
UNQUIET = (3.514, 2.958, 2.96, 2.801, 2.519, 2.39, 2.032, 1.784, 1.529, 1.659, 1.377, 1.741, 2.32)


def test_a_falling_noisy_distance_is_healthy() -> None:
    rng = np.random.default_rng(0)
    distances = 5 * np.exp(-np.arange(60) / 12) + 1
    noisy = (distances * rng.normal(1, 0.02, 60)).tolist()
    for end in range(1, 61):
        assert assess(history(noisy[:end], separation=0.99, overfit=0.8)).state == HEALTHY, end


@pytest.mark.parametrize(
    ("distances", "last", "state", "evidence"),
    [
        (
            TURNED,
            {"separation": 0.99},
            WINNING,
            "99.0% of real and fake pairs told apart; distance 1.06",
        ),
        (
            TURNED,
            {"separation": 0.95, "overfit": 0.7},
            OVERFITTING,
            "held-out reals score 70% of the way",
        ),
        (TURNED, {"spread": 0.6}, COLLAPSING, "spread fell from 0.95× to 0.60×"),
        (TURNED, {"recall": 0.1}, COLLAPSING, "recall fell from 0.400 to 0.100"),
        (TURNED, {"near_duplicates": 0.3}, COLLAPSING, "near-duplicates rose to 30% of the images"),
        (UNQUIET, {"recall": 0.1}, HEALTHY, "distance 1.3"),
        (UNQUIET, {"near_duplicates": 0.3}, HEALTHY, "distance 1.3"),
        (
            UNQUIET,
            {"near_duplicates": 0.3, "recall": 0.1},
            COLLAPSING,
            "rose to 30% of the images, recall fell from",
        ),
        (FALLING, {"near_duplicates": 0.3}, HEALTHY, "distance 1.00× its best"),
        (
            FALLING,
            {"near_duplicates": 0.6},
            COLLAPSING,
            "near-duplicates rose to 60% of the images",
        ),
        (FALLING, {"spread": 0.3}, COLLAPSING, "spread fell from 0.95× to 0.30× the reals'"),
        (TURNED, {}, HEALTHY, "distance"),
        (FALLING, {"separation": 0.99, "overfit": 0.9}, HEALTHY, "distance 1.00× its best"),
        (FALLING, {"recall": 0.1}, HEALTHY, "distance 1.00× its best"),
        (
            FALLING,
            {"recall": 0.27, "near_duplicates": 0.06},
            COLLAPSING,
            "rose to 6% of the images, recall fell from",
        ),
        (FALLING, {"recall": 0.29, "near_duplicates": 0.06}, HEALTHY, "distance 1.00× its best"),
        (
            FALLING,
            {"recall": 0.27, "spread": 0.7},
            COLLAPSING,
            "0.70× the reals', recall fell from 0.400 to 0.270",
        ),
    ],
)
def test_each_failure_is_named_with_its_evidence(
    distances: tuple[float, ...], last: dict[str, float], state: str, evidence: str
) -> None:
    checks = history(distances, **last)
    found = assess(checks)
    assert found.state == state
    # The rise is of two-check means: (3.3 + 3.6) / 2 over (3 + 3.3) / 2.
    assert evidence.replace("1.06", "1.10") in found.reason


def test_lost_variety_needs_no_turn_but_a_recall_that_can_be_believed() -> None:
    low = [replace(check, recall=check.recall * 0.45) for check in history(FALLING)]
    alike = replace(low[-1], near_duplicates=0.3)
    assert assess([*low[:-1], replace(alike, recall=0.12)]).state == HEALTHY, "two thirds of .18"
    assert assess([*low[:-1], replace(alike, recall=0.08)]).state == HEALTHY, (
        "under half, and no rise"
    )
    for checks in (
        [*low[:-1], replace(alike, recall=0.08, distance=9.0)],
        history(FALLING, recall=0.27, spread=0.7),
    ):
        found = assess(checks)
        assert (found.state, found.plain) == (COLLAPSING, True)


@pytest.mark.parametrize(
    ("end", "state"),
    [((9, 10), COLLAPSING), ((2.2, 19), HEALTHY), ((5, 6), HEALTHY), ((19, 2.2), HEALTHY)],
    ids=["far", "one check", "not twice as far", "back again"],
)
def test_a_distance_far_out_of_its_range_needs_no_second_signal(
    end: tuple[float, float], state: str
) -> None:
    found = assess(history([5, 4, 3.3, 2.8, 2.5, 2.4, 2.3, 2.3, 2.2, 2.3, 2.2, *end]))
    assert (found.state, found.plain) == (state, state == COLLAPSING)


@pytest.mark.parametrize(
    "last", [{"separation": 0.99}, {"recall": 0.1}, {"separation": 0.95, "overfit": 0.7}]
)
def test_a_second_signal_makes_plain_evidence_no_less_plain(last: dict[str, float]) -> None:
    assert assess(history([5, 4, 3.3, 2.8, 2.5, 2.4, 2.3, 2.3, 2.2, 2.3, 2.2, 9, 10], **last)).plain


def test_alike_from_the_first_look_on_may_still_lose_plainly() -> None:
    alike = [replace(check, near_duplicates=0.7) for check in history(FALLING)]
    assert not assess(alike).plain
    assert assess([*alike[:-1], replace(alike[-1], spread=0.3)]).plain


def test_after_a_rollback_variety_is_held_against_the_state_gone_back_to() -> None:
    guard = Guard(patience=2)
    for check in history(FALLING):
        guard.check(check)
    at = guard.history[-1].images
    less = replace(GOOD, distance=2.2, recall=0.25, near_duplicates=0.06)
    assert guard.check(replace(less, images=at + 10_000))[1]
    guard.forget_after(at + 10_000)
    guard = Guard(2, json.loads(json.dumps(guard.state())))
    for i in range(2, 6):
        assert guard.check(replace(less, images=at + 10_000 * i))[0].state == HEALTHY
    lost = replace(less, recall=0.15, near_duplicates=0.15)
    assert guard.check(replace(lost, images=at + 60_000))[1], (
        "and what is lost from there on is lost"
    )


def test_what_was_gone_back_to_is_known_from_the_look_before_it() -> None:
    guard = Guard(patience=2)
    for check in history(FALLING):
        guard.check(check)
    at = guard.history[-1].images
    guard.forget_after(at + 3_000)  # evaluated between two looks
    lost = replace(GOOD, distance=2.2, recall=0.02, spread=0.6, near_duplicates=0.35)
    assert [guard.check(replace(lost, images=at + 10_000 * i))[1] for i in (1, 2)] == [False, True]


@pytest.mark.parametrize(
    ("evaluations", "last", "state"),
    [
        ([60, 50, 42, 38, 36, 45, 60], {"separation": 0.99}, WINNING),
        ([60, 50, 42, 38, 36, 45, 60], {"recall": 0.1}, COLLAPSING),
        ([60, 50, 42, 38, 36, 45, 60], {}, HEALTHY),  # nothing beside it speaks for a failure
        ([60, 50, 42, 38, 36, 42], {"separation": 0.99}, HEALTHY),  # one evaluation is no turn
        # unquiet
        (
            [11.4, 6.7, 7.6, 7.8, 5.9, 6.3, 6.9, 5.0, 7.6],
            {"separation": 0.99, "recall": 0.1},
            HEALTHY,
        ),
        ([36, 60], {"separation": 0.99}, HEALTHY),  # of two nobody knows the unrest
    ],
)
def test_the_evaluated_distance_may_turn_where_the_guards_own_does_not(
    evaluations: list[float], last: dict[str, float], state: str
) -> None:
    assert assess(history(FALLING, **last), evaluations).state == state


def test_evaluations_count_from_the_warm_up_on_and_come_and_go_with_the_state() -> None:
    guard = Guard(patience=2)
    guard.note_evaluation(1000, 5.0)
    for check in history(FALLING):
        guard.check(check)
        guard.note_evaluation(check.images, check.distance)
    guard.note_evaluation(10**6, float("nan"))
    assert [images for images, _ in guard.evaluations] == [
        10_000 * i for i in range(WARM_UP, WARM_UP + 7)
    ]
    again = Guard(2, json.loads(json.dumps(guard.state())))
    assert again.evaluations == guard.evaluations
    again.forget_after(80_000)
    assert again.evaluations[-1] == (80_000, 4)
    old = {key: value for key, value in guard.state().items() if key != "evaluations"}
    assert Guard(2, old).evaluations == [], "a checkpoint from before they counted"


def test_an_unquiet_distance_is_no_turn_but_one_that_leaves_its_range_is() -> None:
    unquiet = [
        0.42,
        0.79,
        0.7,
        0.48,
        0.38,
        0.51,
        0.33,
        0.36,
        0.58,
        0.37,
        0.4,
        0.49,
        0.32,
        0.17,
        0.14,
        0.25,
        0.24,
        0.14,
    ]
    for end in range(1, len(unquiet) + 1):
        assert assess(history(unquiet[:end], separation=0.99)).state == HEALTHY, end
    assert assess(history([*unquiet, 0.6, 0.8], separation=0.99)).state == WINNING


def test_of_many_unquiet_checks_the_last_may_lie_far_above_the_best() -> None:
    rng = np.random.default_rng(0)
    runs, alarmed = 50, 0
    for _ in range(runs):
        guard = Guard(patience=2)
        steady = [9, 7, 5.5, 4.5, 4, 3.7, 3.4, 3.2, 3.1, *[3] * 90]
        for check in history(steady):
            noisy = replace(
                check, distance=check.distance * float(np.exp(rng.normal(0, 0.04))), separation=0.99
            )
            guard.check(noisy)
        alarmed += guard.alarms > 0
    # With a bar that does not grow with the number of checks more than nine of ten do.
    assert alarmed / runs <= 0.2


def test_a_distance_that_wanders_and_comes_back_is_healthy() -> None:
    # `sngan-32` on 200 faces: its generator is not averaged, and its distance ends at its best.
    wandering = [
        1.489,
        1.675,
        1.53,
        1.417,
        1.519,
        1.615,
        2.061,
        0.91,
        0.665,
        0.674,
        1.271,
        1.05,
        1.129,
        0.988,
        1.555,
    ]
    wandering += [1.124, 0.824, 1.122, 0.9, 1.229, 1.27, 1.5, 1.424, 1.709, 0.922, 0.61]
    guard = Guard(patience=2)
    for check in history(wandering):
        guard.check(
            replace(check, near_duplicates=0.3, separation=0.98)
            if check.images > 250_000
            else check
        )
    assert guard.alarms == 0
    for check in history([*wandering, 3.5, 4.5, 5.5])[-3:]:
        guard.check(replace(check, separation=0.98))
    assert guard.alarms == 1


def test_one_check_is_never_a_turn() -> None:
    assert assess(history([1.0], separation=1.0, overfit=1.0)).state == HEALTHY


def test_nothing_is_judged_while_it_warms_up() -> None:
    awful = replace(GOOD, near_duplicates=1.0, spread=0.0, distance=100.0)
    for count in range(1, WARM_UP + 1):
        assert assess([awful] * count).state == HEALTHY
    assert assess([awful] * (WARM_UP + 1)).state == COLLAPSING


def test_alarm_needs_patience_and_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter(["good", "ill", "good", "ill", "ill", "ill", "good", "ill", "ill"])
    told = {"good": Assessment(HEALTHY, ""), "ill": Assessment(WINNING, "")}
    monkeypatch.setattr("fauxlab.training.gan.collapse_guard.assess", lambda *_: told[next(states)])
    guard = Guard(patience=2)
    alarms = [guard.check(GOOD)[1] for _ in range(9)]
    assert alarms == [False, False, False, False, True, False, False, False, True]
    assert guard.alarms == 2


def test_plain_evidence_alarms_at_the_first_look_and_once() -> None:
    for last in ({"near_duplicates": 0.6}, {"recall": 0.1, "near_duplicates": 0.3}):
        guard = Guard(patience=2)
        told = [guard.check(signals)[1] for signals in history(TURNED)[:-1]]
        now = history(TURNED, **last)[-1]
        told += [guard.check(replace(now, images=now.images + i))[1] for i in range(3)]
        assert told == [*[False] * (len(told) - 3), True, False, False], last
        for i in range(2):
            assert guard.check(replace(GOOD, images=10**6 + i, distance=0.1))[0].state == HEALTHY
        assert guard.check(replace(now, images=10**6 + 2))[1], "again after a healthy one"


def test_alike_from_the_first_look_on_takes_patience() -> None:
    guard = Guard(patience=2)
    alike = [replace(check, near_duplicates=0.7) for check in history(FALLING)]
    assert [guard.check(check)[1] for check in alike].index(True) == WARM_UP + 1, (
        "the second look that is judged"
    )


def test_after_a_rollback_plain_evidence_takes_patience_until_a_healthy_check() -> None:
    guard = Guard(patience=2)
    for check in history(FALLING):
        guard.check(check)
    at = history(FALLING)[-1].images
    ill, well = replace(GOOD, near_duplicates=0.9, distance=2.3), replace(GOOD, distance=2.2)
    assert guard.check(replace(ill, images=at + 1))[1]
    guard.forget_after(at)
    guard = Guard(2, json.loads(json.dumps(guard.state())))
    told = [
        guard.check(replace(check, images=at + i))[1]
        for i, check in enumerate((ill, ill, well, ill), start=2)
    ]
    assert told == [False, True, False, True]


def test_an_alarm_is_not_given_again_after_a_restart() -> None:
    guard = Guard(patience=2)
    for check in history(FALLING):
        guard.check(check)
    ill = replace(GOOD, near_duplicates=0.9, images=10**6)
    assert guard.check(ill)[1]
    state = json.loads(json.dumps(guard.state()))
    assert not Guard(2, state).check(ill)[1]
    older = {key: value for key, value in state.items() if key not in ("alarmed", "recovering")}
    assert [Guard(2, older | {"ill": n}).check(ill)[1] for n in (1, 3)] == [True, False]


def test_state_survives_a_checkpoint_and_a_rollback() -> None:
    guard = Guard(2)
    for check in history(FALLING):
        guard.check(check)
    again = Guard(2, json.loads(json.dumps(guard.state())))
    assert again.state() == guard.state()
    again.forget_after(70_000)
    assert [check.images for check in again.history] == [10_000 * i for i in range(1, 8)]
