"""The detector page, report.html: one self-contained file, made from what results.json holds."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from fauxlab.data.split import SPLITS
from fauxlab.evaluation.metrics import ECE_BINS
from fauxlab.pages import detector_figures as draw
from fauxlab.pages.detector_figures import Matrix
from fauxlab.pages.figures import name_colours
from fauxlab.pages.html import Plate, data_uri, make_plate, printable, write_page
from fauxlab.records import DetectionReport, Interval
from fauxlab.statistics import MIN_GROUPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fauxlab.data.manifest import Manifest

SUMMARY = {"AUC": "auc", "accuracy": "accuracy"}
METRICS = {
    "accuracy": "accuracy",
    "macro F1": "macro_f1",
    "AUC": "auc",
    "average precision": "average_precision",
    "EER": "eer",
    "TPR at 1% FPR": "tpr_at_1_fpr",
    "TPR at 5% FPR": "tpr_at_5_fpr",
    "ECE": "ece",
}
PICTURE = 96  # pixels


@dataclass(frozen=True)
class Trained:
    """One training of results.json; `stages` are its reports after each stage."""

    name: str
    part: str
    recipe: dict[str, Any]
    steps: list[dict[str, Any]]
    epochs: list[dict[str, Any]]
    test: DetectionReport
    stages: list[tuple[str, DetectionReport]]

    @property
    def label(self) -> str:
        """What the page calls it."""
        if self.part == "specialist":
            return f"specialist {', '.join(self.recipe['data']['generators'])}"
        return self.part

    @property
    def seen(self) -> int:
        """Images seen in training, repeats counted."""
        return self.steps[-1]["images"] if self.steps else 0


def write_report(results: dict[str, Any], out: Path, manifest: Manifest | None = None) -> Path:
    """Write `out/report.html`, and its figures as PNG into `out/figures/`; returns the page's path.

    `results` is what results.json holds. With `manifest`, the one that the results were made from,
    the page also shows the pictures of the worst errors.
    """
    pictures = _pictures(results["worst"], manifest) if manifest is not None else []
    results = printable(results)
    runs = [_trained(run) for run in results["runs"]]
    (out / "figures").mkdir(parents=True, exist_ok=True)
    plates = _plates(runs, out / "figures")
    return write_page(
        out,
        "report.html",
        "detector.html.j2",
        {"plates": plates, "pictures": pictures, **_facts(results, runs)},
    )


def forgetting(run: Trained, metric: str) -> tuple[float, float] | None:
    """Mean of a metric over all generators but the last trained: right after a generator's stage,
    and at the end.

    None when there is nothing to forget, that is with less than two stages.
    """
    end = run.stages[-1][1] if run.stages else run.test
    then = mean([interval_of(report, name, metric) for name, report in run.stages[:-1]])
    now = mean([interval_of(end, name, metric) for name, _ in run.stages[:-1]])
    return None if then is None or now is None else (then, now)


def interval_of(report: DetectionReport, generator: str, metric: str) -> Interval | None:
    """A metric of a report on one generator; None when it was not judged on it."""
    found: Interval | None = next(
        (getattr(s, metric) for s in report.generators if s.name == generator), None
    )
    return found


def mean(intervals: Sequence[Interval | None]) -> float | None:
    """Plain mean; None when there is nothing or a value is missing, for the mean could not be
    compared.
    """
    values = [interval.value for interval in intervals if interval and interval.value is not None]
    return sum(values) / len(values) if values and len(values) == len(intervals) else None


def _trained(run: dict[str, Any]) -> Trained:
    test = DetectionReport.model_validate(run["test"])
    stages = [
        (stage["name"], DetectionReport.model_validate(stage["test"])) for stage in run["stages"]
    ]
    return Trained(
        run["name"], run["part"], run["recipe"], run["steps"], run["epochs"], test, stages
    )


def _specialists(runs: Sequence[Trained]) -> dict[str, Trained]:
    return {run.recipe["data"]["generators"][0]: run for run in runs if run.part == "specialist"}


def _unified(runs: Sequence[Trained]) -> list[Trained]:
    return [run for run in runs if run.part != "specialist"]


def _generators(runs: Sequence[Trained]) -> list[str]:
    return [scores.name for scores in runs[-1].test.generators]


def _facts(results: dict[str, Any], runs: list[Trained]) -> dict[str, Any]:
    """All that the template names, apart from figures and pictures."""
    paths = _without_common_folder([item["path"] for item in results["worst"]])
    return {
        "data": results["data"],
        "counts": _count_rows(results["data"]),
        "splits": SPLITS,
        "generators": _generators(runs),
        "summary": _summary(runs),
        "means": _means(runs),
        "forgetting": forgetting,
        "metrics": METRICS,
        "specialists": _specialists(runs),
        "tuned": [run for run in runs if run.part in ("sequential", "extended")],
        "joint": [run for run in runs if run.part == "joint"],
        "report_table": results["report_table"],
        "worst": [
            {**item, "path": path} for item, path in zip(results["worst"], paths, strict=True)
        ],
        "test": runs[-1].test,
        "recipe": runs[-1].recipe,
        "recipes": [(run.name, tomli_w.dumps(run.recipe)) for run in runs],
        "code_version": results["code_version"],
        "environment": results["environment"],
        "interval_of": interval_of,
        "ece_bins": ECE_BINS,
        "min_groups": MIN_GROUPS,
    }


def _count_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Images by split for every generator, then every real source."""
    matched: dict[str, list[str]] = data["matched_reals"]
    rows = []
    for name in [*matched, *(name for name in data["counts"] if name not in matched)]:
        counts = data["counts"].get(name, {})
        rows.append(
            {
                "name": name if name in matched else name.removeprefix("real "),
                "kind": "fake" if name in matched else "real",
                "reals": matched.get(name, []),
                "counts": [counts.get(split, 0) for split in SPLITS],
                "total": sum(counts.values()),
            }
        )
    return rows


def _series(runs: Sequence[Trained], metric: str) -> dict[str, list[Interval | None]]:
    """Detector → its interval for every generator; the specialists count as one, each on its own
    generator.
    """
    generators, specialists = _generators(runs), _specialists(runs)
    series = {
        run.label: [interval_of(run.test, name, metric) for name in generators]
        for run in _unified(runs)
    }
    own = [
        interval_of(specialists[g].test, g, metric) if g in specialists else None
        for g in generators
    ]
    return {"specialists": own, **series} if specialists else series


def _means(runs: Sequence[Trained]) -> dict[str, tuple[float, float]]:
    """Detector → mean AUC and mean accuracy over all generators, of those judged on every one."""
    auc, accuracy = (_series(runs, metric) for metric in SUMMARY.values())
    means = {name: (mean(auc[name]), mean(accuracy[name])) for name in auc}
    return {name: (a, b) for name, (a, b) in means.items() if a is not None and b is not None}


def _summary(runs: Sequence[Trained]) -> dict[str, Any]:
    """The headline table: for each generator and for their mean, a list by metric of cells
    (interval, is it best).
    """
    series = {label: _series(runs, metric) for label, metric in SUMMARY.items()}
    rows = []
    generators = _generators(runs)
    for i, name in enumerate([*generators, "mean"] if len(generators) > 1 else generators):
        cells = []
        for columns in series.values():
            row = [[*column, Interval(value=mean(column))][i] for column in columns.values()]
            values = [
                round(cell.value, 3) if cell and cell.value is not None else None for cell in row
            ]
            best = max((value for value in values if value is not None), default=None)
            cells.append(
                [(c, v is not None and v == best) for c, v in zip(row, values, strict=True)]
            )
        rows.append((name, cells))
    seen = [run.seen for run in _specialists(runs).values()]
    each = [" to ".join(f"{n:,}" for n in sorted({min(seen), max(seen)})) + " each"] if seen else []
    return {
        "metrics": list(SUMMARY),
        "detectors": list(series["AUC"]),
        "rows": rows,
        "seen": each + [f"{run.seen:,}" for run in _unified(runs)],
    }


def _plates(runs: list[Trained], folder: Path) -> dict[str, Plate]:
    """Draw all figures, save each as PNG in `folder`, and return them for the page by key."""
    plates: dict[str, Plate] = {}

    def add(key: str, number: str, slug: str, figure: Figure, alt: str) -> None:
        plates[key] = make_plate(figure, number, alt, folder / f"{slug}.png")

    generators, specialists = _generators(runs), _specialists(runs)
    # The first stage is dark blue, whatever its place in the manifest.
    order = [name for run in _unified(runs) for name, _ in run.stages]
    colours = name_colours([*order, *generators])
    series = {label: _series(runs, metric) for label, metric in SUMMARY.items()}
    add(
        "overview",
        "At a glance",
        "overview",
        draw.draw_overview(generators, series),
        "AUC and accuracy by generator",
    )
    if specialists:
        own = [
            (name, s.confusion)
            for name, run in specialists.items()
            for s in run.test.generators
            if s.name == name
        ]
        curves = [(name, run.steps, run.epochs) for name, run in specialists.items()]
        add(
            "confusion-specialists",
            "Fig. 1",
            "fig1-confusion-specialists",
            draw.draw_confusions(own),
            "confusion matrix of each specialist on its own generator",
        )
        add(
            "losses-specialists",
            "Fig. 1b",
            "fig1b-losses-specialists",
            draw.draw_losses(curves, colours),
            "loss of each specialist during training",
        )
    for run in _unified(runs):
        losses, confusion = {"joint": ("5", "6"), "extended": ("2b", "3b")}.get(
            run.part, ("2", "3")
        )
        add(
            f"losses-{run.part}",
            f"Fig. {losses}",
            f"fig{losses}-losses-{run.part}",
            draw.draw_training(run.steps, run.epochs, colours),
            f"loss of the {run.label} detector",
        )
        parts = [(s.name, s.confusion) for s in (run.test.pooled, *run.test.generators)]
        add(
            f"confusion-{run.part}",
            f"Fig. {confusion}",
            f"fig{confusion}-confusion-{run.part}",
            draw.draw_confusions(parts),
            f"confusion matrices of the {run.label} detector",
        )
        if run.stages:
            number = "4b" if run.part == "extended" else "4"
            add(
                f"forgetting-{run.part}",
                f"Fig. {number}",
                f"fig{number}-forgetting-{run.part}",
                draw.draw_matrices(_forgetting_matrices(run, generators)),
                f"accuracy and AUC of the {run.label} detector on each generator after each stage",
            )
    add(
        "cross",
        "Fig. 7",
        "fig7-specialists-against-unified",
        draw.draw_matrices(_cross_matrices(runs)),
        "AUC and accuracy of every detector on every generator",
    )
    return plates


def _forgetting_matrices(run: Trained, generators: list[str]) -> list[Matrix]:
    rows = [(f"after {i}. {name}", report) for i, (name, report) in enumerate(run.stages, start=1)]
    framed = [
        (i, generators.index(name)) for i, (name, _) in enumerate(run.stages) if name in generators
    ]
    return [_matrix(label, rows, generators, framed) for label in ("accuracy", "AUC")]


def _cross_matrices(runs: Sequence[Trained]) -> list[Matrix]:
    generators, specialists = _generators(runs), _specialists(runs)
    rows = [(run.label, run.test) for run in (*specialists.values(), *_unified(runs))]
    framed = [
        (i, generators.index(name)) for i, name in enumerate(specialists) if name in generators
    ]
    return [
        _matrix(label, rows, generators, framed, len(specialists) or None)
        for label in ("AUC", "accuracy")
    ]


def _matrix(
    label: str,
    rows: Sequence[tuple[str, DetectionReport]],
    generators: list[str],
    framed: list[tuple[int, int]],
    rule: int | None = None,
) -> Matrix:
    values = []
    for _, report in rows:
        found = [interval_of(report, name, SUMMARY[label]) for name in generators]
        values.append([interval.value if interval else None for interval in found])
    return Matrix(label, [name for name, _ in rows], generators, values, framed, rule)


def _pictures(worst: Sequence[Mapping[str, Any]], manifest: Manifest) -> list[str | None]:
    """The worst errors' pictures as JPEG data URIs; None for one that is not in the manifest or
    cannot be read.
    """
    from fauxlab.io.images import decode, to_picture, to_square
    from fauxlab.io.limits import ImageError
    from fauxlab.io.sources import FileReader

    where = {row.path: manifest.resolve(row) for row in manifest.rows}
    pictures: list[str | None] = []
    with FileReader() as reader:
        for item in worst:
            try:
                pixels = to_square(
                    decode(reader.read(where[item["path"]]), at_least=PICTURE), PICTURE
                )
            except (KeyError, ImageError):
                pictures.append(None)
                continue
            stream = io.BytesIO()
            to_picture(pixels).save(stream, "JPEG", quality=85)
            pictures.append(data_uri(stream.getvalue(), "jpeg"))
    return pictures


def _without_common_folder(paths: Sequence[str]) -> list[str]:
    """Absolute paths from the folder that holds them all, so that the page does not name the
    writer's disk.
    """
    absolute = [path for path in paths if path.startswith("/")]
    common = os.path.commonpath([os.path.dirname(path) for path in absolute]) if absolute else ""
    return [path[len(common) :].lstrip("/") if path.startswith("/") else path for path in paths]
