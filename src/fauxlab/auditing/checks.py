"""Checks of the manifest itself: leaks between splits, imbalance, unfair comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.entries import Entry
from fauxlab.data.grouping import tied_by_names
from fauxlab.data.manifest import Manifest, Row
from fauxlab.data.parts import plain_name
from fauxlab.data.split import SPLITS, near_duplicates
from fauxlab.errors import suggest
from fauxlab.io.sources import SEPARATOR
from fauxlab.io.text import printable
from fauxlab.records import Finding

if TYPE_CHECKING:
    from fauxlab.auditing.features import FeatureTable

SKEW = 3.0  # times as many images: an imbalance to report
SHARE_GAP = 0.1  # between the shares of fakes of two splits
LISTED = 8  # names shown in a list
SPLIT_AGAIN = "make the split again with `fauxlab data index DIR`"
NAME_PAIRS = "`fauxlab data index --pair GENERATOR=SOURCE`"


def find_leaks(manifest: Manifest, table: FeatureTable) -> Iterator[Finding]:
    """What stands in two splits or has two labels: groups, equal files, videos, near-duplicates.

    Near-duplicates are sought among the images measured, all else over all rows. Videos and persons
    are known by the names of folders and files.
    """

    def group(row: Row) -> str:
        return row.group

    def content(row: Row) -> str:
        return row.sha256

    def split(row: Row) -> str:
        return row.split

    def label(row: Row) -> int:
        return row.label

    checks = [
        (_crossing(manifest, group, split), "groups stand in more than one split", SPLIT_AGAIN),
        (_crossing(manifest, content, split), "files stand in more than one split", SPLIT_AGAIN),
        (
            _crossing(manifest, content, label),
            "files are labelled real and fake",
            "correct the labels",
        ),
    ]
    for rows, problem, advice in checks:
        if rows:
            first = printable(rows[0].path)
            text = f"{len(rows):,} {problem}, the first {first}: {advice}"
            yield Finding(kind="leak", text=text)
    yield from _named_leaks(manifest)
    yield from _near_leaks(table)


def find_imbalance(manifest: Manifest) -> Iterator[Finding]:
    """Labels, generators, sources and splits of very unequal size, and fakes that name no reals."""
    fakes = int(manifest.labels.sum())
    reals = len(manifest) - fakes
    fewer, more = sorted((fakes, reals))
    if more > SKEW * fewer:
        yield _note(
            f"{reals:,} reals and {fakes:,} fakes: balance them in training, and read AUC rather "
            "than accuracy"
        )
    generators = Counter(row.generator for row in manifest.rows if row.label)
    sources = Counter(row.source for row in manifest.rows if not row.label)
    yield from _uneven("generators", generators)
    yield from _uneven("sources of reals", sources)
    yield from _uneven_splits(manifest)
    yield from _unpaired(manifest)
    for line in describe_missing_reals(manifest):
        yield _note(line)


def describe_missing_reals(manifest: Manifest) -> Iterator[str]:
    """A line for each generator whose fakes name reals that are not there."""
    lacking = manifest.missing_reals()
    for name, missing in list(lacking.items())[:LISTED]:
        present = "there are no reals"
        if manifest.sources:
            present = f"there are {_list(manifest.sources)}"
        matched = manifest.matched_reals(name)
        compared = _list(matched) if matched else "none, without an AUC"
        guess = suggest(missing[0], manifest.sources)
        yield (
            f"fakes of {printable(name)} name reals of {_list(missing)}, of which there is none "
            f"({present}{guess}): compared with {compared}; name others with {NAME_PAIRS}"
        )
    if len(lacking) > LISTED:
        yield f"… and {len(lacking) - LISTED:,} more generators name reals of which there is none"


def find_uniformity(table: FeatureTable) -> Iterator[Finding]:
    """One size or one encoding in all files: these then say nothing of the pictures' history."""
    shared = []
    for family in ("size", "encoding"):
        looks = {features.looks[family] for features in table.features}
        if len(looks) == 1:
            shared.append(f"one {family} ({looks.pop()})")
    if shared:
        yield _note(
            f"all have {' and '.join(shared)}: what they were before is not in the files, and may "
            "be in the pixels"
        )


def _crossing(
    manifest: Manifest, key: Callable[[Row], Hashable], side: Callable[[Row], Hashable]
) -> list[Row]:
    """One row for each key that stands on two sides."""
    first: dict[Hashable, Row] = {}
    crossing: dict[Hashable, Row] = {}
    for row in manifest.rows:
        other = first.setdefault(key(row), row)
        if side(other) != side(row):
            crossing.setdefault(key(row), row)
    return list(crossing.values())


def _named_leaks(manifest: Manifest) -> Iterator[Finding]:
    """Videos and persons that names tie together and the groups of the manifest do not."""
    rows = [row for row in manifest.rows if row.split]
    entries = [_as_entry(row) for row in rows]
    first: dict[str, Row] = {}
    crossing: dict[str, tuple[Row, Row]] = {}
    for row, names in zip(rows, tied_by_names(entries), strict=True):
        for name in names:
            other = first.setdefault(name, row)
            if other.split != row.split:
                crossing.setdefault(name, (other, row))
    if crossing:
        name, (a, b) = next(iter(crossing.items()))
        yield Finding(
            kind="leak",
            text=f"{len(crossing):,} videos or persons, by the names of folders and files, stand "
            f"in more than one split, the first {printable(name)!r} ({_in_splits(a, b)}): "
            f"{SPLIT_AGAIN}",
        )


def _as_entry(row: Row) -> Entry:
    """A row with the part of its path that lies below its generator or source."""
    parts = plain_name(row.path.replace(SEPARATOR, "/")).split("/")
    folders = [part.removesuffix(".zip") for part in parts[:-1]]
    start = folders.index(row.kind) + 1 if row.kind in folders else 0
    return Entry(
        row.path,
        row.label,
        generator=row.generator,
        source=row.source,
        name="/".join(parts[start:]),
        is_free=True,
    )


def _in_splits(a: Row, b: Row) -> str:
    return f"{printable(a.path)} ({a.split}) and {printable(b.path)} ({b.split})"


def _near_leaks(table: FeatureTable) -> Iterator[Finding]:
    rows = []
    bits = []
    for row, features in zip(table.rows, table.features, strict=True):
        if features.bits is not None:
            rows.append(row)
            bits.append(features.bits)
    if not rows:
        return
    count = 0
    pair = ""
    for i, j in near_duplicates(np.stack(bits)):
        a = rows[i]
        b = rows[j]
        if a.split != b.split:
            count += 1
            pair = pair or _in_splits(a, b)
    if count:
        text = f"at least {count:,} pairs of near-duplicates stand in two splits, the first {pair}"
        yield Finding(kind="leak", text=f"{text}: {SPLIT_AGAIN}")


def _uneven(kind: str, counts: Counter[str]) -> Iterator[Finding]:
    ranking = counts.most_common()
    largest, most = ranking[0]
    smallest, fewest = ranking[-1]
    if most > SKEW * fewest:
        yield _note(
            f"{kind} of very unequal size: {printable(largest)} {most:,}, {printable(smallest)} "
            f"{fewest:,}: draw them equally often"
        )


def _uneven_splits(manifest: Manifest) -> Iterator[Finding]:
    if not any(row.split for row in manifest.rows):
        yield _note("no splits yet: groups were divided 7 to 3 to fit and to measure")
        return
    sizes = Counter(row.split for row in manifest.rows)
    fakes = Counter(row.split for row in manifest.rows if row.label)
    shares = {name: fakes[name] / sizes[name] for name in SPLITS if sizes[name]}
    highest = max(shares.values(), default=0)
    lowest = min(shares.values(), default=0)
    if highest - lowest > SHARE_GAP:
        listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        yield _note(
            f"the share of fakes differs between splits ({listed}): a threshold chosen on one "
            "misleads on another"
        )
    splits_of: dict[str, set[str]] = {}
    for row in manifest.rows:
        kind = row.generator if row.label else f"real {row.source}"
        splits_of.setdefault(kind, set()).add(row.split)
    incomplete = 0
    for kind, splits in splits_of.items():
        missing = [name for name in shares if name not in splits]
        if missing:
            incomplete += 1
        if missing and incomplete <= LISTED:
            yield _note(f"{printable(kind)} has no image in {_list(missing)}")
    if incomplete > LISTED:
        yield _note(f"… and {incomplete - LISTED:,} more have no image in one of the splits")


def _unpaired(manifest: Manifest) -> Iterator[Finding]:
    """Generators whose fakes name no reals."""
    paired = {row.generator for row in manifest.rows if row.label and row.compare_to}
    unpaired = [name for name in manifest.generators if name not in paired]
    if unpaired:
        yield _note(
            f"no reals are named for {_list(unpaired)}: compared with all "
            f"({_list(manifest.sources)}), which may differ in more than being real; "
            f"name fair ones with {NAME_PAIRS}"
        )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:LISTED]))
    rest = len(names) - LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown


def _note(text: str) -> Finding:
    return Finding(kind="note", text=text)
