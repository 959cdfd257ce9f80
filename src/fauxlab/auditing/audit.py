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
    names = dict.fromkeys(row.generator for row in table.rows if row.label)
    for name in names:
        reals = manifest.matched_reals(name)
        index = _matched_index(table.rows, name, reals)
        audited = _audit_generator(table, index, name, reals, sampling)
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

    From size, aspect, bytes, encoding and metadata together. Report it beside a detector's AUC: a
    detector that is no better has proved nothing. The probe is fitted on the generator's fakes in
    `train` and its matched reals, or on all fakes or reals where none match. No group may be in
    both manifests. A generator's AUC is None where a test file of it or of its reals is unreadable,
    since the detector's AUC is of all. Raises LabError where a manifest lacks reals or fakes.
    """
    _need_both(train, "metadata baseline: the training part holds")
    _need_both(test, "metadata baseline: the test part holds")
    train_sample = sample_kinds(train, limit, seed)
    test_sample = sample_kinds(test, limit, seed)
    fitted = measure_files(train_sample, pixels=False, workers=workers)
    tested = measure_files(test_sample, pixels=False, workers=workers)
    table = _join(fitted, tested)
    n_fitted = len(fitted.rows)
    sampling = _Sampling(bootstrap, seed)
    unread = _unread_rows(test, tested)
    baseline = {}
    for name in test.generators:
        reals = test.matched_reals(name)
        if len(_matched_index(unread, name, reals)):
            baseline[name] = Interval(value=None)
            continue
        # The rows of the table: those of the training part come first.
        to_fit = _fakes_and_reals(fitted.rows, name, reals)
        to_test = n_fitted + _matched_index(tested.rows, name, reals)
        index = np.concatenate([to_fit, to_test])
        is_train = index < n_fitted
        baseline[name] = _probe_families(table, FILE_FAMILIES, index, is_train, sampling)
    return baseline


def _join(first: FeatureTable, second: FeatureTable) -> FeatureTable:
    """The measured rows of both tables, one table after the other."""
    rows = first.rows + second.rows
    features = first.features + second.features
    return FeatureTable(rows, features, ())


def _unread_rows(manifest: Manifest, table: FeatureTable) -> list[Row]:
    """The rows whose files could not be measured."""
    paths = {path for path, _ in table.skipped}
    return [row for row in manifest.rows if row.path in paths]


def sample_kinds(manifest: Manifest, limit: int, seed: int = 0) -> Manifest:
    """At most `limit` rows of each generator and each source of reals, in the manifest's order."""
    kinds: dict[tuple[int, str], list[int]] = {}
    for number, row in enumerate(manifest.rows):
        kinds.setdefault((row.label, row.kind), []).append(number)
    rng = np.random.default_rng(seed)
    drawn: list[int] = []
    for numbers in kinds.values():
        shuffled = rng.permutation(numbers)
        drawn += shuffled[:limit].tolist()
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
        cue = _classify(family, auc)
        scores[family] = FeatureScore(auc=auc, cue=cue)
    n_fake = sum(row.label for row in rows)
    held_out_groups = {rows[i].group for i in np.flatnonzero(~train)}
    return GeneratorAudit(
        generator=printable(name),
        reals=[printable(real) for real in reals],
        n_real=len(rows) - n_fake,
        n_fake=n_fake,
        n_groups=len(held_out_groups),
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
        if family in FILE_FAMILIES:
            values = add_steps(values, train)
        columns.append(values)
        if family == "encoding":
            tables = table.values("tables", index)
            columns.append(tables)
    labels = []
    groups = []
    for number in index.tolist():
        row = table.rows[number]
        labels.append(row.label == 1)
        groups.append(row.group)
    values = np.hstack(columns)
    is_fake = np.array(labels)
    return held_out_auc(values, is_fake, train, groups, sampling.bootstrap, sampling.seed)


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
    """As `_matched_index`, fakes first; where none of a label match, all rows of this label."""
    all_fakes = []
    all_reals = []
    own_fakes = []
    own_reals = []
    for number, row in enumerate(rows):
        if row.label:
            all_fakes.append(number)
            if row.generator == generator:
                own_fakes.append(number)
        else:
            all_reals.append(number)
            if row.source in reals:
                own_reals.append(number)
    fakes = own_fakes or all_fakes
    matched = own_reals or all_reals
    return np.array(fakes + matched, dtype=np.int64)


def _rows_to_fit(rows: Sequence[Row], seed: int) -> Bools:
    """Which rows [N] to fit on, in whole groups: the train split, or 7 of 10 groups."""
    groups = [row.group for row in rows]
    labels = [row.label for row in rows]
    splits = [row.split for row in rows]
    train = _in_split(groups, splits, "train")
    combinations = set(zip(train.tolist(), labels, strict=True))
    if len(combinations) == 4:  # both sides have reals and fakes
        return train
    splits = assign_splits(groups, labels, SHARES, seed)
    return _in_split(groups, splits, "train")


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
