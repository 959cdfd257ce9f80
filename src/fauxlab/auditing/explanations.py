"""An audit in words: what differs between fakes and reals, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.auditing.features import FILE_FAMILIES
from fauxlab.records import Finding, GeneratorAudit
from fauxlab.records.audit import FindingKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.auditing.features import FeatureTable

    Index = NDArray[np.int64]

ENCODE = "decode both and encode them with one encoder at one quality and chroma subsampling"
ADVICE = {
    "size": f"bring both to one size with one filter, then {ENCODE}",
    "aspect": "crop both to one shape, alike",
    "bytes": ENCODE,
    "encoding": f"{ENCODE}; earlier compression stays in the pixels, so prefer originals",
    "metadata": "strip it from both; what wrote it may have touched the pixels, so look at size "
    "and encoding too",
    "framing": "crop both alike: one face detector, one margin",
}
# Where bytes differ although size and encoding are the same.
LESS_CONTENT = (
    "both are written alike, so one side's pictures hold less (crop, blur, plain background): crop "
    "both alike, or take reals of the same kind"
)
CONTENT = (
    "content or shortcut: the sources differ in colour; take reals of the same kind, or vary "
    "colours"
)
TRACE = "may be a true trace of the generator, may be compression: compare after equal re-encoding"
# Families that also change the spectrum.
SHAPING = {"encoding", "size", "bytes", "framing"}


def explain_cues(audited: GeneratorAudit, table: FeatureTable, index: Index) -> Iterator[Finding]:
    """A finding for each family that tells fakes from reals: what differs, and what to do.

    `index` [N] are the rows of the generator's fakes and their reals.
    """
    cues = {family: score.cue for family, score in audited.shortcut_features.items()}
    shortcuts = [family for family, cue in cues.items() if cue == "shortcut"]
    for family, cue in cues.items():
        if cue == "shortcut":
            difference = _difference(family, table, index)
            advice = _advice(family, shortcuts)
            text = f"shortcut{difference}: fix before training: {advice}"
            yield _finding(audited, "shortcut", family, text)
        elif cue == "content":
            yield _finding(audited, "content", family, CONTENT)
        elif cue == "trace":
            text = TRACE
            if SHAPING.intersection(shortcuts):
                text += f"; first mend {', '.join(shortcuts)}, which also shape a spectrum"
            yield _finding(audited, "trace", family, text)
    if "unknown" in cues.values():
        text = f"only {audited.n_groups} groups to measure on: no interval, no word"
        yield _finding(audited, "note", "", text)


def summarise(generators: Sequence[GeneratorAudit], findings: Sequence[Finding]) -> str:
    """The whole audit in a line or two."""
    unknown = [audited.generator for audited in generators if _is_unknown(audited)]
    parts = []
    shortcuts = _families_by_generator(findings, "shortcut")
    if shortcuts:
        parts.append(f"shortcuts: {shortcuts}: fix before training")
    elif len(unknown) < len(generators):
        parts.append("no shortcut found")
    if any(finding.kind == "leak" for finding in findings):
        parts.append("leaks between splits or labels: fix before training")
    content = _families_by_generator(findings, "content")
    if content:
        parts.append(f"content or shortcut: {content}")
    traces = _families_by_generator(findings, "trace")
    if traces:
        parts.append(f"true trace or compression: {traces}")
    if unknown:
        parts.append(f"too few groups to tell: {', '.join(unknown)}")
    return " · ".join(parts)


def _families_by_generator(findings: Sequence[Finding], kind: str) -> str:
    """As "sd21 (size, bytes); stylegan (framing)": the families of this kind of finding."""
    families: dict[str, list[str]] = {}
    for finding in findings:
        if finding.kind == kind:
            families.setdefault(finding.generator, []).append(finding.family)
    parts = []
    for generator, names in families.items():
        parts.append(f"{generator} ({', '.join(names)})")
    return "; ".join(parts)


def _is_unknown(audited: GeneratorAudit) -> bool:
    return any(score.cue == "unknown" for score in audited.shortcut_features.values())


def _advice(family: str, shortcuts: Sequence[str]) -> str:
    same_writing = not {"encoding", "size"}.intersection(shortcuts)
    if family == "bytes" and same_writing:
        return LESS_CONTENT
    return ADVICE[family]


def _difference(family: str, table: FeatureTable, index: Index) -> str:
    """What most reals and most fakes look like; empty for families without a text of their own."""
    if family not in FILE_FAMILIES:
        return ""
    labels = np.array([table.rows[i].label for i in index.tolist()])
    reals = index[labels == 0]
    fakes = index[labels == 1]
    real = _most_common(family, table, reals)
    fake = _most_common(family, table, fakes)
    return f" (reals: {real}; fakes: {fake})"


def _most_common(family: str, table: FeatureTable, index: Index) -> str:
    """The most common look of these rows and its share; for bytes the median."""
    if family == "bytes":
        log_bytes = table.values("bytes", index)[:, 0]
        median = 2 ** float(np.median(log_bytes))
        return f"median {median / 1000:.3g} kB"
    looks = Counter(table.features[i].looks[family] for i in index.tolist())
    look, count = looks.most_common(1)[0]
    share = count / len(index)
    return f"{share:.0%} {look}"


def _finding(audited: GeneratorAudit, kind: FindingKind, family: str, text: str) -> Finding:
    return Finding(kind=kind, generator=audited.generator, family=family, text=text)
