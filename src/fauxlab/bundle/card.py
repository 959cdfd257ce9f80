"""The model card: the README.md of a model's folder, which tells people what the model is."""

from __future__ import annotations

from typing import Any

from fauxlab.bundle.adaptations import ADAPTATIONS, describe_adaptations
from fauxlab.bundle.config import Calibration, DetectorConfig, GeneratorConfig, LeftOut, OodLimits


def write_card(config: DetectorConfig | GeneratorConfig, digest: str) -> str:
    """The card, in Markdown, of a model with this hash."""
    if isinstance(config, DetectorConfig):
        return _detector_card(config, digest)
    return _generator_card(config, digest)


def _detector_card(config: DetectorConfig, digest: str) -> str:
    size = config.preprocessing.size
    calibrated = "not calibrated: a raw sigmoid, no probability"
    if config.calibration is not None:
        calibrated = "calibrated"
    name = config.name or config.architecture
    title = f"{name} {config.version}" if config.version else name
    return f"""# {title}: is this face photo real or generated?

Model hash `{digest}`. Input: RGB, centre square, {size}×{size} pixels, in [-1, 1].
Output: one logit; its sigmoid is the score for "fake" ({calibrated}).
Label order: 0 = real, 1 = fake. Threshold: {config.threshold:.6g}.
{_describe_heads(config)}
{_describe_scores(config)}Use it with `fauxlab scan PHOTO --model THIS_FOLDER`.
A score is evidence, not proof: on generators, cameras and compressions that were not in training
it can be wrong in either direction.

| trained with | |
|---|---|
{_rows(_without_adaptations(config.training))}

| measured on validation | |
|---|---|
{_rows(config.metrics)}
{_section(describe_adaptations(config))}"""


def _without_adaptations(training: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in training.items() if key != ADAPTATIONS}


def _section(text: str) -> str:
    return f"\n{text}" if text else ""


def _describe_heads(config: DetectorConfig) -> str:
    """A line on the questions behind the logit; nothing of a model that has one."""
    if not config.heads:
        return ""
    names = ", ".join(f"{head.name} ({head.manipulation})" for head in config.heads)
    return (
        f"\nThe logit joins {len(config.heads)} heads, in this order: {names}.\n"
        "A fake is said to be made whole by a generator, or a real photo altered inside,\n"
        "by the head that speaks loudest. No error rate is stated for this.\n"
    )


def _describe_scores(config: DetectorConfig) -> str:
    """Paragraphs on what scores mean, as far as that was measured."""
    words = ""
    if config.calibration is not None:
        if config.precision == "int8":
            words = "Measured before the weights were rounded to 8 bits, and not again:\n\n"
        words += _describe_calibration(config.calibration)
    if config.ood is not None:
        words += _describe_ood(config.ood)
    return words


def _describe_calibration(fit: Calibration) -> str:
    lines = [
        f"Score = sigmoid(logit / {fit.temperature:.6g} + {fit.bias:.6g}): "
        "the probability of fake if half of all pictures were fake."
    ]
    if fit.ece_before is not None and fit.ece_after is not None:
        lines.append(
            f"Expected calibration error: {fit.ece_before:.3f} before, {fit.ece_after:.3f} after."
        )
    if fit.false_alarm_rate is not None:
        lines += _describe_false_alarms(fit, fit.false_alarm_rate)
    if fit.low is not None and fit.high is not None and fit.alpha is not None:
        lines += [
            f"Scores from {fit.low:.3f} to below {fit.high:.3f} are uncertain: at most "
            f"{fit.alpha:.3g} of the fakes",
            f"score lower, and at most {fit.alpha:.3g} of the reals higher.",
        ]
    if fit.n_real or fit.n_fake:
        lines += _describe_pictures(fit)
    return "\n".join(lines) + "\n\n"


def _describe_false_alarms(fit: Calibration, rate: float) -> list[str]:
    if fit.left_out is None:
        return [f"At most {rate:.3g} of the reals of each source are called fake."]
    n_kinds = len(fit.left_out.called_fake)
    lines = [
        f"Stated false-alarm rate: {rate:.3g} of the real photos of a further kind. No more is "
        f"promised than {n_kinds} kinds can show:",
        "",
        f"| stated rate | threshold | called fake, mean of kinds left out of {fit.left_out.of} "
        "| worst kind | uncertain, mean |",
        "|---|---|---|---|---|",
        _rate_row(rate, fit.high, fit.left_out),
    ]
    for point in fit.points:
        if point.left_out is not None:
            lines.append(_rate_row(point.rate, point.threshold, point.left_out))
    chosen = (
        "The thresholds were chosen so that these means keep the rates; the worst kinds were not."
    )
    return [*lines, "", chosen, ""]


def _rate_row(rate: float, threshold: float | None, left_out: LeftOut) -> str:
    source, worst = left_out.worst
    cells = [
        f"{rate:.3g}",
        "" if threshold is None else f"{threshold:.6g}",
        f"{left_out.mean_called_fake:.3f}",
        f"{worst:.3f} ({source})",
        f"{left_out.mean_uncertain:.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def _describe_pictures(fit: Calibration) -> list[str]:
    counts = [*fit.n_real.items(), *fit.n_fake.items()]
    pictures = ", ".join(f"{n} {name}" for name, n in counts)
    state = "degraded at random" if fit.degraded else "as they are"
    return [f"Fitted on {pictures}, {state}:", "this holds for pictures like these and no others."]


def _describe_ood(limits: OodLimits) -> str:
    words = (
        "Some pictures are unlike those that the model was made for, and the model cannot tell:\n"
        f"their out-of-distribution distance is above {limits.limit:.4g}. "
        f"Of pictures like the {limits.n}\n"
        f"that this limit was fitted on, at most {limits.rate:.3g} lie above it.\n"
    )
    if limits.sharpness is not None:
        words += (
            f"Nor can it where the sharpness is below {limits.sharpness:.3g}: "
            "such a face is too blurred or too small.\n"
        )
    if limits.tint is not None:
        words += (
            f"Nor can it where the tint is above {limits.tint:.3g}: "
            "such a face shows nearly one colour, as of a sepia filter.\n"
        )
    return words + "\n"


def _generator_card(config: GeneratorConfig, digest: str) -> str:
    return f"""# {config.architecture}: faces of people who do not exist

Model hash `{digest}`. {config.latent} standard normal numbers in, one RGB face of
{config.size}×{config.size} pixels in [-1, 1] out. It is unconditional:
it takes no picture and no name of anybody.

Use it with `fauxlab gan sample THIS_FOLDER`, which marks every picture as AI-generated. Faces that
look like somebody in the training data can occur; `fauxlab gan eval` measures how many.

| trained with | |
|---|---|
{_rows(config.training)}

| measured | |
|---|---|
{_rows(config.metrics)}
"""


def _rows(table: dict[str, Any]) -> str:
    lines = [f"| {key} | {value} |" for key, value in table.items()]
    return "\n".join(lines)
