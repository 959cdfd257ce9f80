"""The audit: shortcuts that a network could learn, found before anything is trained.

For each generator, each family of shortcut features is tried alone: a linear probe tells its fakes
from their matched reals. If the probe succeeds on images that it was not fitted on, a network can
find the right answer without looking at traces of the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.auditing.checks import find_imbalance, find_leaks, find_uniformity
from fauxlab.auditing.explanations import explain_cues, summarise
from fauxlab.auditing.features import FILE_FAMILIES, PIXEL_FAMILIES, FeatureTable, measure_files
from fauxlab.auditing.probe import add_steps, held_out_auc
from fauxlab.data.manifest import Manifest, Row
from fauxlab.data.split import assign_splits
from fauxlab.errors import LabError
from fauxlab.io.text import printable
from fauxlab.records import AuditReport, Cue, FeatureScore, Finding, GeneratorAudit, Interval
from fauxlab.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Index = NDArray[np.int64]

LIMIT = 2000  # images of each generator and each source of reals
# A family is a cue if the lower bound of its AUC is above this. Pictures of one pipeline, fakes
# beside the very reals that their generator was trained on, stay below it in every family but
# colour and spectrum (AUC .50 to .60); and a cue at .6 alone gives a detector some 57 % accuracy.
# With 8 families a generator and a hundred held-out groups, chance hardly ever reaches it: a family
# without a cue would have to lie 2 standard errors and .1 too high.
SEPARABLE = 0.6
# Train, val, calibration and test, where the manifest has no train split to use.
SHARES = (0.7, 0.0, 0.0, 0.3)


@dataclass(frozen=True)
class _Sampling:
    """How intervals are drawn."""

    bootstrap: int
    seed: int


def audit(
    manifest: Manifest,
    *,
    limit: int = LIMIT,
    seed: int = 0,
    bootstrap: int = 1000,
    progress: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> AuditReport:
    """Measure shortcut features, and find what else tells fakes from reals.

    At most `limit` images of each generator and each source of reals are measured. Probes are
    fitted on the manifest's train split and measured on the others; where there is no split, or a
    side of it lacks reals or fakes, groups are divided 7 to 3. Equal arguments give equal results.
    `progress` is called with the number of images just read. Raises LabError where the manifest
    lacks reals or fakes, or none can be read.

    >>> import fauxlab as fl
    >>> data = fl.index("faces/").split(seed=0)  # doctest: +SKIP
    >>> results = fl.audit(data)  # doctest: +SKIP
    >>> results.summary  # doctest: +SKIP
    'shortcuts: stylegan (size, bytes): fix before training'
    """
    if limit < 1 or bootstrap < 1:
        raise LabError(f"audit: limit {limit} and bootstrap {bootstrap} must be at least 1")
    _need_both(manifest, "this manifest holds")
    sample = sample_kinds(manifest, limit, seed)
    table = measure_files(sample, progress=progress, workers=workers)
    _need_readable(manifest, table)
    sampling = _Sampling(bootstrap, seed)
    generators = []
    findings: list[Finding] = []
    for name in dict.fromkeys(row.generator for row in table.rows if row.label):
        index = _matched_index(table.rows, name, manifest.matched_reals(name))
        audited = _audit_generator(table, index, name, manifest.matched_reals(name), sampling)
        generators.append(audited)
        findings += explain_cues(audited, table, index)
    findings += find_leaks(manifest, table)
    findings += find_imbalance(manifest)
    findings += find_uniformity(table)
    return AuditReport(
        data_hash=manifest.data_hash,
        code_version=__version__,
        n=len(table.rows),
        n_manifest=len(manifest),
        limit=limit,
        seed=seed,
        bootstrap=bootstrap,
        threshold=SEPARABLE,
        summary=summarise(generators, findings),
        generators=generators,
        findings=findings,
        skipped=[(printable(path), reason) for path, reason in table.skipped],
    )


def metadata_baseline(
    train: Manifest,
    test: Manifest,
    *,
    limit: int = LIMIT,
    seed: int = 0,
    bootstrap: int = 1000,
    workers: int | None = None,
) -> dict[str, Interval]:
    """AUC of each generator of `test` by its files alone, without looking at pixels.

    From size, aspect, bytes, encoding and metadata together. It belongs beside a detector's AUC: a
    detector that is no better has proved nothing. The probe is fitted on `train`: on the
    generator's fakes there and its matched reals, or on all fakes or reals where there are none of
    these. No group may be in both manifests. The AUC is None for a generator where a test file of
    it or of its reals cannot be measured: the figure would be of other pictures than the
    detector's. Raises LabError where `train` or `test` lacks reals or fakes.
    """
    _need_both(train, "metadata baseline: the training part holds")
    _need_both(test, "metadata baseline: the test part holds")
    fitted = measure_files(sample_kinds(train, limit, seed), pixels=False, workers=workers)
    held = measure_files(sample_kinds(test, limit, seed), pixels=False, workers=workers)
    table = FeatureTable(fitted.rows + held.rows, fitted.features + held.features, ())
    n_fitted = len(fitted.rows)
    unread = {path for path, _ in held.skipped}
    lost = [row for row in test.rows if row.path in unread]
    baseline = {}
    for name in test.generators:
        reals = test.matched_reals(name)
        if len(_matched_index(lost, name, reals)):
            baseline[name] = Interval(value=None)
            continue
        tested = n_fitted + _matched_index(held.rows, name, reals)
        index = np.concatenate([_fakes_and_reals(fitted.rows, name, reals), tested])
        train_rows = index < n_fitted
        sampling = _Sampling(bootstrap, seed)
        baseline[name] = _probe_families(table, FILE_FAMILIES, index, train_rows, sampling)
    return baseline


def sample_kinds(manifest: Manifest, limit: int, seed: int = 0) -> Manifest:
    """At most `limit` rows of each generator and each source of reals, in the manifest's order."""
    kinds: dict[tuple[int, str], list[int]] = {}
    for number, row in enumerate(manifest.rows):
        name = row.generator if row.label else row.source
        kinds.setdefault((row.label, name), []).append(number)
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for numbers in kinds.values():
        drawn += rng.permutation(numbers)[:limit].tolist()
    rows = [manifest.rows[number] for number in sorted(drawn)]
    return replace(manifest, rows=tuple(rows))


def _audit_generator(
    table: FeatureTable, index: Index, name: str, reals: list[str], sampling: _Sampling
) -> GeneratorAudit:
    rows = [table.rows[i] for i in index.tolist()]
    train = _rows_to_fit(rows, sampling.seed)
    scores = {}
    for family in (*FILE_FAMILIES, *PIXEL_FAMILIES):
        auc = _probe_families(table, (family,), index, train, sampling)
        scores[family] = FeatureScore(auc=auc, cue=_classify(family, auc))
    n_fake = sum(row.label for row in rows)
    held_out = [rows[i] for i in np.flatnonzero(~train)]
    return GeneratorAudit(
        generator=printable(name),
        reals=[printable(real) for real in reals],
        n_real=len(rows) - n_fake,
        n_fake=n_fake,
        n_groups=len({row.group for row in held_out}),
        shortcut_features=scores,
        file_features=_probe_families(table, FILE_FAMILIES, index, train, sampling),
    )


def _probe_families(
    table: FeatureTable,
    families: Sequence[str],
    index: Index,
    train: Bools,
    sampling: _Sampling,
) -> Interval:
    """Held-out AUC of some families together, on the rows of `index` [N]; `train` is [N]."""
    if not train.any():
        return Interval(value=None)
    columns = []
    for family in families:
        values = table.values(family, index)
        # Files often differ in one exact value, which no linear function of it can pick out.
        columns.append(add_steps(values, train) if family in FILE_FAMILIES else values)
        if family == "encoding":
            columns.append(table.values("tables", index))
    rows = [table.rows[i] for i in index.tolist()]
    labels = np.array([row.label == 1 for row in rows])
    groups = [row.group for row in rows]
    values = np.hstack(columns)
    return held_out_auc(values, labels, train, groups, sampling.bootstrap, sampling.seed)


def _classify(family: str, auc: Interval) -> Cue:
    if auc.low is None:
        return "unknown"
    if auc.low <= SEPARABLE:
        return "none"
    if family == "colour":
        return "content"
    if family == "spectrum":
        return "trace"
    return "shortcut"


def _matched_index(rows: Sequence[Row], generator: str, reals: Sequence[str]) -> Index:
    """Numbers of the rows that are the generator's fakes, or reals of these sources."""
    numbers = []
    for number, row in enumerate(rows):
        belongs = row.generator == generator if row.label else row.source in reals
        if belongs:
            numbers.append(number)
    return np.array(numbers, dtype=np.int64)


def _fakes_and_reals(rows: Sequence[Row], generator: str, reals: Sequence[str]) -> Index:
    """As `_matched_index`, fakes first; all rows of a label of which there are none of these."""
    all_fakes = [number for number, row in enumerate(rows) if row.label]
    all_reals = [number for number, row in enumerate(rows) if not row.label]
    own_fakes = [number for number in all_fakes if rows[number].generator == generator]
    own_reals = [number for number in all_reals if rows[number].source in reals]
    chosen = [*(own_fakes or all_fakes), *(own_reals or all_reals)]
    return np.array(chosen, dtype=np.int64)


def _rows_to_fit(rows: Sequence[Row], seed: int) -> Bools:
    """Which rows [N] to fit on, in whole groups: the train split, or 7 of 10 groups."""
    groups = [row.group for row in rows]
    labels = [row.label for row in rows]
    train = _in_split(groups, [row.split for row in rows], "train")
    combinations = set(zip(train.tolist(), labels, strict=True))
    if len(combinations) == 4:  # both sides have reals and fakes
        return train
    return _in_split(groups, assign_splits(groups, labels, SHARES, seed), "train")


def _in_split(groups: Sequence[str], splits: Sequence[str], name: str) -> Bools:
    """Which rows [N] belong to a group that has a row in this split."""
    inside = set()
    for group, split in zip(groups, splits, strict=True):
        if split == name:
            inside.add(group)
    return np.array([group in inside for group in groups])


def _need_both(manifest: Manifest, what: str, reason: str = "") -> None:
    fakes = int(manifest.labels.sum()) if len(manifest) else 0
    reals = len(manifest) - fakes
    if not fakes or not reals:
        raise LabError(
            f"{what} {reals} reals and {fakes} fakes{reason}; an audit compares them: give a "
            "manifest that holds both"
        )


def _need_readable(manifest: Manifest, table: FeatureTable) -> None:
    reason = ""
    if table.skipped:
        _, first = table.skipped[0]
        reason = f" (the first of {len(table.skipped)} skipped: {first})"
    readable = replace(manifest, rows=table.rows)
    _need_both(readable, "of the images that can be read there are", reason)
