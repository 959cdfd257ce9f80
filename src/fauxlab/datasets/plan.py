"""The plan of toyfaces: who is in which photo, and which photos lend each other their scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

PLAN = 0  # second part of every seed here; `fakes` has the others
IDENTITIES = 9_999_991  # prime, so that every person below it gets a number of its own


@dataclass(frozen=True)
class Photo:
    """One photo: its name, its person, and whose scene its insight fake takes.

    `scene` is the number of another photo.
    """

    number: int
    person: int
    scene: int
    name: str


def plan(n: int, seed: int = 0) -> list[Photo]:
    """The first n photos; a person has one to three of them.

    Two persons in a row lend each other their scenes, and nobody else theirs. Each loan ties two
    people into one group for the split: if everybody were tied to everybody, the set could not be
    split.
    """
    photos: list[Photo] = []
    person = 0
    pair_start = 0  # the first photo of the pair
    while len(photos) < n:
        first_of_pair = person % 2 == 0
        if first_of_pair:
            pair_start = len(photos)
        photos += _plan_person(person, seed, len(photos), pair_start)
        person += 1
    # Where the end parts the last pair, the first photo of all lends its scene.
    photos = photos[:n]
    return [photo if photo.scene < n else replace(photo, scene=0) for photo in photos]


def _plan_person(person: int, seed: int, start: int, pair_start: int) -> list[Photo]:
    """The photos of one person, numbered from `start`."""
    rng = np.random.default_rng((seed, PLAN, person))
    count = int(rng.integers(1, 4))
    identity = (1_234_567 + person * 7_368_787) % IDENTITIES
    year = int(rng.integers(1930, 2000))
    month = rng.integers(1, 13)
    day = rng.integers(1, 29)
    born = f"{year}-{month:02d}-{day:02d}"
    ages = rng.choice(np.arange(18, 60), count, replace=False).tolist()
    photos = []
    for number, age in enumerate(ages, start=start):
        # The first of a pair takes the second one's first scene, the second any of the first's.
        first_of_pair = person % 2 == 0
        scene = start + count if first_of_pair else int(rng.integers(pair_start, start))
        name = f"{identity % 100:02d}/{identity}_{born}_{year + age}.jpg"
        photos.append(Photo(number, person, scene, name))
    return photos
