"""What a recipe is trained without, part by part: generators, families, kinds of real photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from fauxlab.config import Recipe, as_name
from fauxlab.data.split import SPLITS
from fauxlab.errors import LabError, suggest
from fauxlab.training.detector.schedule import run_name

if TYPE_CHECKING:
    from fauxlab.data.manifest import Manifest
    from fauxlab.data.rows import Row

Sort = Literal["generators", "families", "real-kinds"]
SORTS: tuple[Sort, ...] = get_args(Sort)
Families = Mapping[str, Sequence[str]]  # generators by the name of their family
LISTED = 20  # names in a message


@dataclass(frozen=True)
class Part:
    """Kinds that are left out of one training: generators of fakes, sources of real photos."""

    name: str
    generators: tuple[str, ...] = ()
    reals: tuple[str, ...] = ()

    def holds(self, row: Row) -> bool:
        """Whether a picture is of a kind that is left out."""
        left_out = self.generators if row.label else self.reals
        return row.kind in left_out

    def recipe(self, recipe: Recipe, generators: Sequence[str]) -> Recipe:
        """The recipe without these kinds; `generators` are all that it would train on.

        Where a generator is left out, all reals stay that are not left out themselves: also those
        that only this generator is compared with.
        """
        changes: dict[str, object] = {}
        if self.generators:
            others = [name for name in generators if name not in self.generators]
            changes["generators"] = others
            changes["reals"] = "all"
        if self.reals:
            changes["leave_out"] = [*recipe.data.leave_out, *self.reals]
        data = recipe.data.model_copy(update=changes)
        name = f"{run_name(recipe)}-without-{as_name(self.name)}"
        return recipe.model_copy(update={"name": name, "data": data})


def list_parts(
    manifest: Manifest,
    sorts: Sequence[Sort],
    generators: Sequence[str],
    reals: Sequence[str],
    families: Families,
    folds: int | None = None,
) -> list[Part]:
    """What each training leaves out: one kind or family, or with `folds` a share of each sort.

    `generators` and `reals` are the kinds that the recipe trains on. Raises LabError where there is
    too little to leave out.
    """
    check_families(families, generators)
    units = {}
    for sort in sorts:
        units[sort] = _list_units(sort, generators, reals, families)
        if len(units[sort]) < 2:
            raise LabError(
                f"leaving one out needs two {sort} or more; there is {_list(units[sort]) or 'none'}"
            )
    if folds is None:
        if len(units) > 1:
            raise LabError(
                f"{' and '.join(units)} are left out together in folds only; say how many"
            )
        [(sort, members)] = units.items()
        parts = []
        for unit, kinds in members.items():
            name = _name_alone(sort, unit)
            part = _make_part(name, {sort: kinds})
            parts.append(part)
        return parts
    return _deal_parts(manifest, units, folds)


def _list_units(
    sort: Sort, generators: Sequence[str], reals: Sequence[str], families: Families
) -> dict[str, list[str]]:
    """What is left out as a whole, by name: kinds of pictures."""
    if sort == "real-kinds":
        return {name: [name] for name in reals}
    if sort == "generators":
        return {name: [name] for name in generators}
    family_of = {}
    for family, members in families.items():
        for name in members:
            family_of[name] = family
    units: dict[str, list[str]] = {}
    for name in generators:
        family = family_of.get(name, name)
        members_here = units.setdefault(family, [])
        members_here.append(name)
    return units


def _name_alone(sort: Sort, name: str) -> str:
    """A part's name: a source of reals and a generator may have the same."""
    return f"real-{name}" if sort == "real-kinds" else name


def _make_part(name: str, kinds: Mapping[Sort, Iterable[str]]) -> Part:
    generators: list[str] = []
    reals: list[str] = []
    for sort, members in kinds.items():
        chosen = reals if sort == "real-kinds" else generators
        chosen.extend(members)
    return Part(name, tuple(generators), tuple(reals))


def _deal_parts(
    manifest: Manifest, units: Mapping[Sort, dict[str, list[str]]], folds: int
) -> list[Part]:
    most = min(len(members) for members in units.values())
    if not 2 <= folds <= most:
        raise LabError(f"{folds} folds: give 2 to {most}, as there are {most} to deal to them")
    dealt = {}
    for sort, members in units.items():
        pictures = _count_pictures(manifest, sort)
        dealt[sort] = deal(members, pictures, folds)
    parts = []
    for number in range(folds):
        name = f"{'-'.join(units)}-{number + 1}-of-{folds}"
        kinds = {sort: hands[number] for sort, hands in dealt.items()}
        parts.append(_make_part(name, kinds))
    return parts


def _count_pictures(manifest: Manifest, sort: Sort) -> Counter[str]:
    label = 0 if sort == "real-kinds" else 1
    return Counter(row.kind for row in manifest.rows if row.label == label)


def deal(
    units: Mapping[str, Sequence[str]], pictures: Mapping[str, int], folds: int
) -> list[list[str]]:
    """The kinds of each fold; the largest unit is dealt first, each to the fold with fewest.

    >>> deal({"a": ["a"], "b": ["b"], "c": ["c"]}, {"a": 5, "b": 3, "c": 1}, 2)
    [['a'], ['b', 'c']]
    """
    sizes = {}
    for name, members in units.items():
        sizes[name] = sum(pictures[member] for member in members)
    order = sorted(units, key=lambda name: (-sizes[name], name))
    hands: list[list[str]] = [[] for _ in range(folds)]
    totals = [0] * folds
    for name in order:
        lowest = min(totals)
        smallest = totals.index(lowest)
        hands[smallest].extend(units[name])
        totals[smallest] += sizes[name]
    return hands


def parse_families(items: Iterable[str]) -> dict[str, list[str]]:
    """Families as users write them: NAME=GENERATOR,GENERATOR.

    Raises LabError where one is written otherwise or named twice.
    """
    families: dict[str, list[str]] = {}
    for item in items:
        name, _, members = item.partition("=")
        generators = [member.strip() for member in members.split(",") if member.strip()]
        if not name or not generators:
            raise LabError(f"--family {item!r}: write it as NAME=GENERATOR,GENERATOR")
        if name in families:
            raise LabError(f"--family {name!r} is named twice; list its generators in one")
        families[name] = generators
    return families


def check_families(families: Families, generators: Sequence[str]) -> None:
    """Raise LabError on a generator that is not there, or is of two families."""
    family_of: dict[str, str] = {}
    for family, members in families.items():
        # A generator without a family is one of its own, under its name.
        if family in generators and family not in members:
            raise LabError(f"--family {family!r} has the name of a generator; choose another")
        for name in members:
            if name not in generators:
                raise LabError(
                    f"no generator {name!r} for the family {family!r}; there are "
                    f"{_list(generators)}{suggest(name, generators)}"
                )
            if name in family_of:
                raise LabError(f"{name!r} is in two families, {family_of[name]!r} and {family!r}")
            family_of[name] = family


def parse_splits(split: str) -> tuple[str, ...]:
    """The splits that `all`, a name or names joined by + stand for.

    Raises LabError on others, and where neither val nor test is among them.
    """
    names = SPLITS if split == "all" else tuple(split.split("+"))
    unknown = [name for name in names if name not in SPLITS]
    if unknown:
        raise LabError(f"--split {split!r}: one of {', '.join(SPLITS)}, all; or some, as train+val")
    if not {"val", "test"} & set(names):
        raise LabError(f"--split {split!r} needs val or test, for the kinds that are not left out")
    return names


def choose_evaluated(manifest: Manifest, part: Part, splits: Sequence[str]) -> Manifest:
    """What a part is scored on: the left-out kinds in these splits, the known ones in one.

    That one is test, or val where test is not asked for: the detector learned from the others.
    Pseudo-fakes are left out.
    """
    known_split = "test" if "test" in splits else "val"

    def is_asked(row: Row) -> bool:
        return row.split in splits if part.holds(row) else row.split == known_split

    return manifest.without_pseudo().where(is_asked)


def _list(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    more = len(listed) - LISTED
    shown = ", ".join(listed[:LISTED])
    return f"{shown} and {more:,} more" if more > 0 else shown
