"""The audit: what a network could cheat on, found before anything is trained.

Each generator's fakes are told from their matched reals by one family of traits at a time. A family
that succeeds on images it was not fitted on is a way to the right answer that has nothing to do
with the generator, or may have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from fauxlab.auditing.checks import find_imbalance, find_leaks, find_uniformity
from fauxlab.auditing.features import FILE_FAMILIES, PIXEL_FAMILIES, FeatureTable, measure_files
from fauxlab.auditing.probe import add_steps, held_out_auc
from fauxlab.data.manifest import Manifest, Row
from fauxlab.data.split import assign_splits
from fauxlab.errors import LabError
from fauxlab.io.text import printable
from fauxlab.records import AuditReport, FeatureScore, Finding, GeneratorAudit, Interval
from fauxlab.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Index = NDArray[np.int64]

Verdict = Literal["none", "shortcut", "content", "trace", "unknown"]
Progress = Callable[[int], None]

LIMIT = 2000  # images of each generator and each source of reals
# The lower bound of the interval must pass this. Pictures of one pipeline, fakes beside the very
# reals that their generator was trained on, stay below it in every family but colour and spectrum
# (single cues: AUC .50 to .60); a cue at .6 alone would bring a detector to some 57 % accuracy.
# With 8 families a generator, chance hardly ever passes it where a hundred groups or more are held
# out: a family without a cue would have to lie 2 standard errors and .1 too high.
SEPARABLE = 0.6

_ENCODE = "decode both and encode them with one encoder at one quality and chroma subsampling"
_ADVICE = {
    "size": f"bring both to one size with one filter, then {_ENCODE}",
    "aspect": "crop both to one shape, alike",
    "bytes": _ENCODE,
    "encoding": f"{_ENCODE}; earlier compression stays in the pixels, so prefer originals",
    "metadata": "strip it from both; what wrote it may have touched the pixels, so look at size and encoding too",
    "framing": "crop both alike: one face detector, one margin",
}


def audit(
    manifest: Manifest,
    *,
    limit: int = LIMIT,
    seed: int = 0,
    bootstrap: int = 1000,
    progress: Progress | None = None,
    workers: int | None = None,
) -> AuditReport:
    """Measure at most `limit` images a generator and a source of reals, and say what tells fakes
    from reals.

    Models are fitted on the manifest's train split and measured on the others; where there is no
    split, or it leaves a side without reals or fakes, groups are divided 7 to 3. Equal arguments
    give equal reports. `progress` is called with the number of images just read. Raises LabError
    where the manifest lacks reals or fakes, or none can be read.
    """
    if limit < 1 or bootstrap < 1:
        raise LabError(f"audit: limit {limit} and bootstrap {bootstrap} must be at least 1")
    _need_both(manifest, "this manifest holds")
    sample = sample_kinds(manifest, limit, seed)
    table = measure_files(sample, progress=progress, workers=workers)
    reason = (
        f" (the first of {len(table.skipped)} skipped: {table.skipped[0][1]})"
        if table.skipped
        else ""
    )
    _need_both(
        replace(manifest, rows=table.rows), "of the images that can be read there are", reason
    )
    generators, findings = [], []
    for name in dict.fromkeys(row.generator for row in table.rows if row.label):
        found, texts = _audit_generator(table, name, manifest.matched_reals(name), bootstrap, seed)
        generators.append(found)
        findings += texts
    findings += [*find_leaks(manifest, table), *find_imbalance(manifest), *find_uniformity(table)]
    return AuditReport(
        data_hash=manifest.data_hash,
        code_version=__version__,
        n=len(table.rows),
        n_manifest=len(manifest),
        limit=limit,
        seed=seed,
        bootstrap=bootstrap,
        threshold=SEPARABLE,
        verdict=_sum_up(generators, findings),
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
    """AUC of each of `test`'s generators by what the files tell without their pixels, to stand
    beside a detector's.

    Size, aspect, bytes, encoding and metadata together, fitted on `train`: on the generator's fakes
    there, or on all where it has none, and its matched reals. A detector that is no better has
    proved nothing. Groups must not stand in both. Not available (None) for a generator of whose
    test files, or its reals', one cannot be measured: it would stand beside a detector's figure and
    be of other pictures. Raises LabError where `train` or `test` lacks reals or fakes.
    """
    for manifest, name in ((train, "the training part"), (test, "the test part")):
        _need_both(manifest, f"metadata baseline: {name} holds")
    fitted, held = (
        measure_files(sample_kinds(m, limit, seed), pixels=False, workers=workers)
        for m in (train, test)
    )
    table = FeatureTable(fitted.rows + held.rows, fitted.traits + held.traits, ())
    gone = {path for path, _ in held.skipped}
    lost = [row for row in test.rows if row.path in gone]
    found = {}
    for name in test.generators:
        reals = test.matched_reals(name)
        if any(row.generator == name if row.label else row.source in reals for row in lost):
            found[name] = Interval(value=None)
            continue
        # What the training part has of the two, or else all that it has of their label.
        fakes = _matched(fitted.rows, name, ()) or [
            i for i, row in enumerate(fitted.rows) if row.label
        ]
        others = _matched(fitted.rows, None, reals) or [
            i for i, row in enumerate(fitted.rows) if not row.label
        ]
        tested = [len(fitted.rows) + i for i in _matched(held.rows, name, reals)]
        index = np.array([*fakes, *others, *tested], dtype=np.int64)
        found[name] = _measure(
            table, FILE_FAMILIES, index, index < len(fitted.rows), bootstrap, seed
        )
    return found


def sample_kinds(manifest: Manifest, limit: int, seed: int = 0) -> Manifest:
    """At most `limit` rows of each generator and each source of reals, in the manifest's order."""
    kinds: dict[tuple[int, str], list[int]] = {}
    for i, row in enumerate(manifest.rows):
        kinds.setdefault((row.label, row.generator if row.label else row.source), []).append(i)
    rng = np.random.default_rng(seed)
    keep = sorted(int(i) for rows in kinds.values() for i in rng.permutation(rows)[:limit])
    return replace(manifest, rows=tuple(manifest.rows[i] for i in keep))


def _audit_generator(
    table: FeatureTable, name: str, reals: list[str], bootstrap: int, seed: int
) -> tuple[GeneratorAudit, list[Finding]]:
    index = np.array(_matched(table.rows, name, reals), dtype=np.int64)
    rows = [table.rows[i] for i in index.tolist()]
    train = _fitting_rows(rows, seed)
    traits = {}
    for family in (*FILE_FAMILIES, *PIXEL_FAMILIES):
        auc = _measure(table, (family,), index, train, bootstrap, seed)
        traits[family] = FeatureScore(auc=auc, verdict=_judge(family, auc))
    fakes = sum(row.label for row in rows)
    found = GeneratorAudit(
        generator=printable(name),
        reals=[printable(real) for real in reals],
        n_real=len(rows) - fakes,
        n_fake=fakes,
        n_groups=len({row.group for row, fitted in zip(rows, train, strict=True) if not fitted}),
        traits=traits,
        file_traits=_measure(table, FILE_FAMILIES, index, train, bootstrap, seed),
    )
    return found, list(_explain(found, table, index))


def _measure(
    table: FeatureTable,
    families: Sequence[str],
    index: Index,
    train: Bools,
    bootstrap: int,
    seed: int,
) -> Interval:
    """Held-out AUC of some families together on the rows of `index` [N]; `train` [N] are fitted on."""
    if not train.any():
        return Interval(value=None)
    columns = []
    for family in families:
        values = table.values(family, index)
        columns.append(add_steps(values, train) if family in FILE_FAMILIES else values)
        if family == "encoding":
            columns.append(table.values("tables", index))
    rows = [table.rows[i] for i in index.tolist()]
    labels = np.array([row.label == 1 for row in rows])
    return held_out_auc(
        np.hstack(columns), labels, train, [row.group for row in rows], bootstrap, seed
    )


def _matched(rows: Sequence[Row], generator: str | None, reals: Sequence[str]) -> list[int]:
    """Numbers of the rows that are the generator's fakes or of the named sources of reals."""
    return [
        i
        for i, r in enumerate(rows)
        if (r.generator == generator if r.label else r.source in reals)
    ]


def _sum_up(generators: list[GeneratorAudit], findings: list[Finding]) -> str:
    """The verdict on the whole set, in a line or two."""

    def named(kind: str) -> str:
        cells = [(f.generator, f.family) for f in findings if f.kind == kind]
        families = {name: ", ".join(f for g, f in cells if g == name) for name, _ in cells}
        return "; ".join(f"{name} ({told})" for name, told in families.items())

    unknown = [
        g.generator
        for g in generators
        if any(trait.verdict == "unknown" for trait in g.traits.values())
    ]
    parts = []
    if found := named("shortcut"):
        parts.append(f"shortcuts: {found}: fix before training")
    elif len(unknown) < len(generators):  # of none that can be told
        parts.append("no shortcut found")
    if any(f.kind == "leak" for f in findings):
        parts.append("leaks between splits or labels: fix before training")
    if found := named("content"):
        parts.append(f"content or shortcut: {found}")
    if found := named("trace"):
        parts.append(f"true trace or compression: {found}")
    if unknown:
        parts.append(f"too few groups to tell: {', '.join(unknown)}")
    return " · ".join(parts)


def _fitting_rows(rows: Sequence[Row], seed: int) -> Bools:
    """Rows to fit on, bool [N], whole groups: the train split, or 7 of 10 where that leaves no fair
    comparison.
    """

    def sides(names: Sequence[str]) -> Bools:
        fitted = {row.group for row, name in zip(rows, names, strict=True) if name == "train"}
        return np.array([row.group in fitted for row in rows])

    train = sides([row.split for row in rows])
    if all(
        len({row.label for row, t in zip(rows, train, strict=True) if t == side}) == 2
        for side in (True, False)
    ):
        return train
    return sides(
        assign_splits([r.group for r in rows], [r.label for r in rows], (0.7, 0.0, 0.0, 0.3), seed)
    )


def _judge(family: str, auc: Interval) -> Verdict:
    if auc.low is None:
        return "unknown"
    if auc.low <= SEPARABLE:
        return "none"
    return "content" if family == "colour" else "trace" if family == "spectrum" else "shortcut"


def _explain(found: GeneratorAudit, table: FeatureTable, index: Index) -> list[Finding]:
    """A finding for each family that separates: what differs, and what to do."""
    fakes = np.array([table.rows[i].label == 1 for i in index.tolist()])
    told = {family for family, trait in found.traits.items() if trait.verdict == "shortcut"}
    findings = []
    for family, trait in found.traits.items():
        if family in told and family in FILE_FAMILIES:
            real, fake = (_typical(table, family, index[side]) for side in (~fakes, fakes))
            seen = f" (reals: {real}; fakes: {fake})"
        else:
            seen = ""
        if family in told:
            advice = _ADVICE[family]
            if family == "bytes" and not told & {"encoding", "size"}:
                advice = (
                    "both are written alike, so one side's pictures hold less (crop, blur, plain background): "
                    "crop both alike, or take reals of the same kind"
                )
            findings.append(
                _finding(
                    "shortcut", found, family, f"shortcut{seen}: fix before training: {advice}"
                )
            )
        elif trait.verdict == "content":
            text = "content or shortcut: the sources differ in colour; take reals of the same kind, or vary colours"
            findings.append(_finding("content", found, family, text))
        elif trait.verdict == "trace":
            text = "may be a true trace of the generator, may be compression: compare after equal re-encoding"
            if told & {"encoding", "size", "bytes", "framing"}:
                text += f"; first mend {', '.join(f for f in found.traits if f in told)}, which also shape a spectrum"
            findings.append(_finding("trace", found, family, text))
    if any(trait.verdict == "unknown" for trait in found.traits.values()):
        findings.append(
            _finding(
                "note",
                found,
                "",
                f"only {found.n_groups} groups to measure on: no interval, no word",
            )
        )
    return findings


def _finding(
    kind: Literal["shortcut", "content", "trace", "leak", "note"],
    found: GeneratorAudit,
    family: str,
    text: str,
) -> Finding:
    return Finding(kind=kind, generator=found.generator, family=family, text=text)


def _typical(table: FeatureTable, family: str, index: Index) -> str:
    """What most of the rows look like, in a word, and how many do; for bytes the median."""
    looks = [table.traits[i].looks[family] for i in index.tolist()]
    if family == "bytes":
        return f"median {2 ** float(np.median(table.values('bytes', index)[:, 0])) / 1000:.3g} kB"
    word, count = Counter(looks).most_common(1)[0]
    return f"{count / len(looks):.0%} {word}"


def _need_both(manifest: Manifest, what: str, reason: str = "") -> None:
    fakes = int(manifest.labels.sum()) if len(manifest) else 0
    if not 0 < fakes < len(manifest):
        raise LabError(
            f"{what} {len(manifest) - fakes} reals and {fakes} fakes{reason}; an audit compares them: give a manifest "
            "that holds both"
        )
