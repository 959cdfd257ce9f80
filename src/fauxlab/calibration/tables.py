"""The figures of a calibration as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fauxlab.bundle.config import Calibration
    from fauxlab.calibration.figures import Figures

# A row of the table: what is measured, N, and the cells before and after.
TableRow = tuple[str, int | str, str, str]


def format_figures(split: str, before: Figures, after: Figures) -> str:
    """The figures of one split as plain text."""
    n_real = sum(before.n_real.values())
    n_fake = sum(before.n_fake.values())
    head = f"{split}: {n_real:,} real, {n_fake:,} fake"
    lines = [f"{head:<44}{'N':>7}{'before':>16}{'after':>16}"]
    for name, n, old, new in _rows(before, after):
        lines.append(f"  {name:<42}{n:>7}{old:>16}{new:>16}")
    return "\n".join(lines)


def format_left_out(fit: Calibration) -> list[str]:
    """The figures of the kinds left out as plain text, a block for each stated rate."""
    stated = [(fit.false_alarm_rate, fit.left_out)]
    for point in fit.points:
        stated.append((point.rate, point.left_out))
    blocks = []
    for rate, left_out in stated:
        if rate is None or left_out is None:
            continue
        head = f"kinds of reals left out of {left_out.of}, at {rate:.3g}"
        lines = [f"{head:<51}{'called fake':>16}{'uncertain':>16}"]
        for name, called_fake in left_out.called_fake.items():
            uncertain = left_out.uncertain[name]
            lines.append(f"  {name:<49}{called_fake:>16.1%}{uncertain:>16.1%}")
        means = f"{left_out.mean_called_fake:>16.1%}{left_out.mean_uncertain:>16.1%}"
        lines.append(f"  {'mean of kinds':<49}{means}")
        blocks.append("\n".join(lines))
    return blocks


def _rows(before: Figures, after: Figures) -> Iterator[TableRow]:
    classes = {
        "reals": sum(before.n_real.values()),
        "fakes": sum(before.n_fake.values()),
    }
    n = sum(classes.values())

    yield _numbers("calibration error, classes evenly", n, before.ece, after.ece)
    yield _numbers("log loss", n, before.log_loss, after.log_loss)
    yield _numbers("threshold", "", before.threshold, after.threshold)
    yield "uncertain scores", "", _band(before.band), _band(after.band)
    for source, count in before.n_real.items():
        old = before.called_fake[source]
        new = after.called_fake[source]
        yield _shares(f"real {source} called fake", count, old, new)
    for generator, count in before.n_fake.items():
        old = before.called_real[generator]
        new = after.called_real[generator]
        yield _shares(f"fake {generator} called real", count, old, new)
    for label, (kind, count) in enumerate(classes.items()):
        for name, old_share, new_share in (
            ("uncertain", before.uncertain, after.uncertain),
            ("certain and wrong", before.wrong, after.wrong),
            ("refused (OOD, blurred)", before.refused, after.refused),
        ):
            if new_share is not None:
                yield f"{kind} {name}", count, _share(old_share, label), _share(new_share, label)


def _numbers(name: str, of: int | str, old: float, new: float) -> TableRow:
    return name, of, f"{old:.3f}", f"{new:.3f}"


def _shares(name: str, of: int, old: float, new: float) -> TableRow:
    return name, of, f"{old:.1%}", f"{new:.1%}"


def _share(shares: tuple[float, float] | None, label: int) -> str:
    """The share of a class as text."""
    return "n/a" if shares is None else f"{shares[label]:.1%}"


def _band(band: tuple[float, float] | None) -> str:
    if band is None:
        return "none"
    low, high = band
    return f"{low:.3f} – {high:.3f}"
