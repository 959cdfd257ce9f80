"""From the scores of detectors trained without some kinds to one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fauxlab.environment import describe_environment
from fauxlab.records import LeaveOneOutReport, LeftOut, LeftOutPart, LeftOutReal
from fauxlab.version import __version__

if TYPE_CHECKING:
    from fauxlab.bundle.config import DetectorConfig
    from fauxlab.config import Recipe
    from fauxlab.data.manifest import Manifest
    from fauxlab.records import DetectionReport, DetectionScores
    from fauxlab.reproduce.leaving_out import Families, Part, Sort
    from fauxlab.training.run import Run


@dataclass(frozen=True)
class Scored:
    """A part's detector and its figures; `note` says why it could not be calibrated."""

    report: DetectionReport
    run: Run
    recipe: Recipe  # of the run: without the part
    part: Part
    trained_hash: str
    config: DetectorConfig
    rate_asked: float | None
    degraded: bool
    note: str


class Summary(NamedTuple):
    """What one part adds to the report."""

    generators: list[LeftOut]
    reals: list[LeftOutReal]
    part: LeftOutPart


def summarise_part(scored: Scored) -> Summary:
    """The rows of the kinds that one part left out, and what is known of its training."""
    report = scored.report
    by_name = {scores.name: scores for scores in report.generators}
    seen_auc = _mean_seen(scored.recipe, scored.part, by_name)
    generators = []
    for name in scored.part.generators:
        generators.append(_generator_row(scored, by_name[name], seen_auc))
    reals = []
    for name in scored.part.reals:
        row = LeftOutReal(
            name=name,
            decisions=report.real_decisions[name],
            below_threshold=report.real_accuracy[name],
            run=scored.run.folder.name,
        )
        reals.append(row)
    return Summary(generators, reals, _describe_part(scored))


def _mean_seen(recipe: Recipe, part: Part, by_name: dict[str, DetectionScores]) -> float | None:
    """Mean AUC on the generators that it was trained on."""
    trained_on = recipe.data.generators or list(by_name)
    aucs = []
    for name in trained_on:
        if name in part.generators or name not in by_name:
            continue
        auc = by_name[name].auc.value
        if auc is not None:
            aucs.append(auc)
    return sum(aucs) / len(aucs) if aucs else None


def _generator_row(scored: Scored, unseen: DetectionScores, seen_auc: float | None) -> LeftOut:
    report = scored.report
    return LeftOut(
        scores=unseen,
        seen_auc=seen_auc,
        real_accuracy={source: report.real_accuracy[source] for source in unseen.reals},
        decisions=report.fake_decisions[unseen.name],
        run=scored.run.folder.name,
        model_hash=report.model_hash,
    )


def _describe_part(scored: Scored) -> LeftOutPart:
    part = scored.part
    report = scored.report
    fit = scored.config.calibration
    known = []
    for name, shares in report.real_decisions.items():
        rate = shares.called_fake.value
        if name not in part.reals and rate is not None:
            known.append(rate)
    return LeftOutPart(
        name=part.name,
        run=scored.run.folder.name,
        generators=list(part.generators),
        reals=list(part.reals),
        seed=scored.recipe.train.seed,
        trained_hash=scored.trained_hash,
        rate_asked=scored.rate_asked,
        rate=fit.false_alarm_rate if fit else None,
        degraded=scored.degraded,
        threshold=report.threshold,
        calibrated=not scored.note,
        note=scored.note,
        n=report.n,
        known_reals_called_fake=sum(known) / len(known) if known else None,
    )


def merge_parts(
    results: Sequence[LeaveOneOutReport],
    recipe: Recipe,
    manifest: Manifest,
    sorts: Sequence[Sort],
    split: str,
    families: Families,
) -> LeaveOneOutReport:
    """All parts in one report, each generator with the name of its family."""
    family_of = {name: family for family, members in families.items() for name in members}
    generators = []
    for row in (row for result in results for row in result.generators):
        family = family_of.get(row.scores.name, "")
        generators.append(row.model_copy(update={"family": family}))
    return LeaveOneOutReport(
        recipe=recipe.name,
        data_hash=manifest.data_hash,
        code_version=__version__,
        generators=generators,
        reals=[row for result in results for row in result.reals],
        parts=[part for result in results for part in result.parts],
        left_out=list(sorts),
        split=split,
        environment=describe_environment(manifest.data_hash),
    )
