"""What an audit finds in the manifest itself: leaks between splits, imbalance, comparisons that
cannot be fair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.manifest import Manifest, Row
from fauxlab.data.split import SPLITS, near_duplicates
from fauxlab.errors import suggest
from fauxlab.io.text import printable
from fauxlab.records import Finding

if TYPE_CHECKING:
    from fauxlab.auditing.features import FeatureTable

SKEW = 3.0  # times as many images: an imbalance worth a word
SHARE_GAP = 0.1  # between the shares of fakes of two splits
AGAIN = "make the split again with `fauxlab data index DIR`"


def find_leaks(manifest: Manifest, table: FeatureTable) -> Iterator[Finding]:
    """Groups and equal bytes in two splits or with two labels, over all rows; near-duplicates of
    those measured.
    """

    def crossing(key: Callable[[Row], Hashable], side: Callable[[Row], Hashable]) -> list[Row]:
        """One row for each key that stands on two sides."""
        first: dict[Hashable, Row] = {}
        found: dict[Hashable, Row] = {}
        for row in manifest.rows:
            if side(first.setdefault(key(row), row)) != side(row):
                found.setdefault(key(row), row)
        return [*found.values()]

    for rows, what, advice in (
        (
            crossing(lambda r: r.group, lambda r: r.split),
            "groups stand in more than one split",
            AGAIN,
        ),
        (
            crossing(lambda r: r.sha256, lambda r: r.split),
            "files stand in more than one split",
            AGAIN,
        ),
        (
            crossing(lambda r: r.sha256, lambda r: r.label),
            "files are labelled real and fake",
            "correct the labels",
        ),
    ):
        if rows:
            yield Finding(
                kind="leak",
                text=f"{len(rows):,} {what}, the first {printable(rows[0].path)}: {advice}",
            )
    told = [
        (row, traits.bits)
        for row, traits in zip(table.rows, table.traits, strict=True)
        if traits.bits is not None
    ]
    if not told:
        return
    bits = np.stack([code for _, code in told])
    pairs = ((told[a][0], told[b][0]) for a, b in near_duplicates(bits))
    near = ((a, b) for a, b in pairs if a.split != b.split)
    if closest := next(near, None):
        a, b = closest
        count = 1 + sum(1 for _ in near)
        yield Finding(
            kind="leak",
            text=f"at least {count:,} pairs of near-duplicates stand in two splits, the first {printable(a.path)} "
            f"({a.split}) and {printable(b.path)} ({b.split}): {AGAIN}",
        )


def find_imbalance(manifest: Manifest) -> Iterator[Finding]:
    """Labels, generators, sources and splits of very unequal size, and fakes that name no reals of
    their own.
    """
    fakes = int(manifest.labels.sum())
    reals = len(manifest) - fakes
    if max(fakes, reals) > SKEW * min(fakes, reals):
        text = f"{reals:,} reals and {fakes:,} fakes: balance them in training, and read AUC rather than accuracy"
        yield _note(text)
    for kind, names in (
        ("generators", Counter(row.generator for row in manifest.rows if row.label)),
        ("sources of reals", Counter(row.source for row in manifest.rows if not row.label)),
    ):
        (most, n), (least, k) = names.most_common()[0], names.most_common()[-1]
        if n > SKEW * k:
            text = f"{kind} of very unequal size: {printable(most)} {n:,}, {printable(least)} {k:,}: draw them equally often"
            yield _note(text)
    yield from _uneven_splits(manifest)
    unnamed = [
        name
        for name in manifest.generators
        if not any(row.compare_to for row in manifest.rows if row.label and row.generator == name)
    ]
    if unnamed:
        yield _note(
            f"no reals are named for {', '.join(map(printable, unnamed))}: compared with all ({_list(manifest.sources)}), "
            "which may differ in more than being real; name fair ones with `fauxlab data index --pair GENERATOR=SOURCE`"
        )
    for line in describe_missing_reals(manifest):
        yield _note(line)


def describe_missing_reals(manifest: Manifest) -> Iterator[str]:
    """A line for each generator whose fakes name reals that are not there."""
    for name, missing in manifest.missing_reals().items():
        there = f"there are {_list(manifest.sources)}" if manifest.sources else "there are no reals"
        matched = manifest.matched_reals(name)
        yield (
            f"fakes of {printable(name)} name reals of {_list(missing)}, of which there is none "
            f"({there}{suggest(missing[0], manifest.sources)}): compared with "
            f"{_list(matched) if matched else 'none, without an AUC'}; name others with "
            "`fauxlab data index --pair GENERATOR=SOURCE`"
        )


def find_uniformity(table: FeatureTable) -> Iterator[Finding]:
    """One size or one encoding throughout: then the files tell nothing of what the pictures went
    through before.
    """
    words = [
        f"one {family} ({looks.pop()})"
        for family in ("size", "encoding")
        if len(looks := {traits.looks[family] for traits in table.traits}) == 1
    ]
    if words:
        yield _note(
            f"all have {' and '.join(words)}: what they were before is not in the files, and may be in the pixels"
        )


def _uneven_splits(manifest: Manifest) -> Iterator[Finding]:
    if not any(row.split for row in manifest.rows):
        yield _note("no splits yet: groups were divided 7 to 3 to fit and to measure")
        return
    sizes = Counter(row.split for row in manifest.rows)
    fakes = Counter(row.split for row in manifest.rows if row.label)
    shares = {name: fakes[name] / sizes[name] for name in SPLITS if sizes[name]}
    if shares and max(shares.values()) - min(shares.values()) > SHARE_GAP:
        found = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        yield _note(
            f"the share of fakes differs between splits ({found}): a threshold chosen on one misleads on another"
        )
    held: dict[str, set[str]] = {}
    for row in manifest.rows:
        held.setdefault(row.generator if row.label else f"real {row.source}", set()).add(row.split)
    for kind, found_in in held.items():
        if missing := [name for name in shares if name not in found_in]:
            yield _note(f"{printable(kind)} has no image in {_list(missing)}")


def _list(names: list[str], most: int = 8) -> str:
    shown = ", ".join(map(printable, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _note(text: str) -> Finding:
    return Finding(kind="note", text=text)
