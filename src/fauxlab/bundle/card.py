"""The model card: what a model's folder says of it to people."""

from __future__ import annotations

from typing import Any

from fauxlab.bundle.config import Calibration, DetectorConfig, GeneratorConfig, OodLimits


def write_card(config: DetectorConfig | GeneratorConfig, found: str) -> str:
    """The card in Markdown of a model whose hash is `found`."""
    return (
        _detector_card(config, found)
        if isinstance(config, DetectorConfig)
        else _generator_card(config, found)
    )


def _detector_card(config: DetectorConfig, found: str) -> str:
    calibrated = (
        "calibrated" if config.calibration else "not calibrated: a raw sigmoid, no probability"
    )
    told = (
        ""
        if config.calibration is None
        else _describe_calibration(config.calibration, config.threshold)
    )
    if told and config.precision == "int8":
        told = f"Measured before the weights were rounded to 8 bits, and not again:\n\n{told}"
    told += "" if config.ood is None else _describe_ood(config.ood)
    return f"""# {config.architecture}: is this face photo real or generated?

Model hash `{found}`. Input: RGB, centre square, {config.preprocessing.size}×{config.preprocessing.size} pixels, in
[-1, 1]. Output: one logit; its sigmoid is the score for "fake" ({calibrated}). Label order: 0 = real, 1 = fake.
Threshold: {config.threshold:.6g}.

{told}Use it with `fauxlab scan PHOTO --model THIS_FOLDER`. A score is evidence, not proof: on generators, cameras and
compressions that were not in training it can be wrong in either direction.

| trained with | |
|---|---|
{_rows(config.training)}

| measured on validation | |
|---|---|
{_rows(config.metrics)}
"""


def _describe_calibration(fit: Calibration, threshold: float) -> str:
    lines = [
        f"Score = sigmoid(logit / {fit.temperature:.6g} + {fit.bias:.6g}), as if half of all pictures were fake."
    ]
    if fit.ece_before is not None and fit.ece_after is not None:
        lines.append(
            f"Expected calibration error: {fit.ece_before:.3f} before, {fit.ece_after:.3f} after."
        )
    if fit.false_alarm_rate is not None:
        lines.append(
            f"At most {fit.false_alarm_rate:.3g} of the reals of each source reach the threshold."
        )
    if fit.low is not None and fit.high is not None and fit.alpha is not None:
        lines.append(
            f"Scores from {fit.low:.3f} to below {fit.high:.3f} are uncertain: at most {fit.alpha:.3g} of the fakes\n"
            f"score lower, at most {fit.alpha:.3g} of the reals higher."
        )
    if fit.n_real or fit.n_fake:
        parts = (f"{n} {name}" for name, n in (*fit.n_real.items(), *fit.n_fake.items()))
        state = "degraded at random" if fit.degraded else "as they are"
        lines.append(
            f"Fitted on {', '.join(parts)}, {state}:\nthis holds for pictures like these and no others."
        )
    return "\n".join(lines) + "\n\n"


def _describe_ood(fit: OodLimits) -> str:
    words = (
        f"Of a picture whose distance is above {fit.limit:.4g} the model cannot tell: it is unlike those that it was\n"
        f"made for. Of faces like the {fit.n} that this was fitted on, at most {fit.rate:.3g} lie beyond.\n"
    )
    if fit.sharpness is not None:
        words += f"Nor can it of a picture whose detail is below {fit.sharpness:.3g}: too blurred, or too small.\n"
    return words + "\n"


def _generator_card(config: GeneratorConfig, found: str) -> str:
    return f"""# {config.architecture}: faces of people who do not exist

Model hash `{found}`. {config.latent} standard normal numbers in, one RGB face of {config.size}×{config.size}
pixels in [-1, 1] out; unconditional: it takes no picture and no name of anybody.

Use it with `fauxlab gan sample THIS_FOLDER`, which marks every picture as AI-generated. Faces that look like somebody
in the training data can occur; `fauxlab gan eval` measures how many.

| trained with | |
|---|---|
{_rows(config.training)}

| measured | |
|---|---|
{_rows(config.metrics)}
"""


def _rows(table: dict[str, Any]) -> str:
    return "\n".join(f"| {key} | {value} |" for key, value in table.items())
