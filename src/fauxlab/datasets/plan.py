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
    photos = photos[:n]
    # Where the end parts the last pair, the first photo of all lends its scene.
    for number, photo in enumerate(photos):
        if photo.scene >= n:
            photos[number] = replace(photo, scene=0)
    return photos


def _plan_person(person: int, seed: int, start: int, pair_start: int) -> list[Photo]:
    """The photos of one person, numbered from `start`."""
    rng = np.random.default_rng((seed, PLAN, person))
    count = int(rng.integers(1, 4))
    identity = (1_234_567 + person * 7_368_787) % IDENTITIES
    year = int(rng.integers(1930, 2000))
    month = rng.integers(1, 13)
    day = rng.integers(1, 29)
    born = f"{year}-{month:02d}-{day:02d}"
    adult_ages = np.arange(18, 60)
    ages = rng.choice(adult_ages, count, replace=False).tolist()
    first_of_pair = person % 2 == 0
    photos = []
    for number, age in enumerate(ages, start=start):
        # The first photo of the second person, who comes next.
        scene = start + count
        if not first_of_pair:
            # Any photo of the first person.
            scene = int(rng.integers(pair_start, start))
        name = f"{identity % 100:02d}/{identity}_{born}_{year + age}.jpg"
        photos.append(Photo(number, person, scene, name))
    return photos
