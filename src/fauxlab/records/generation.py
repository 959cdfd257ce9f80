"""Results of generators: figures on a named feature network, each beside its floor.

The floor of a figure is the same figure between two sets of real photos: what a perfect generator
would get.
"""

from __future__ import annotations

from pydantic import Field

from fauxlab.records.base import Record, rounded

SCHEMA_VERSION = 4  # of the records in this file

ENOUGH = 2048  # pictures: below, Fréchet distances are clearly biased
TABLE_FIGURES = (
    "precision",
    "recall",
    "density",
    "coverage",
    "pairwise_ratio",
    "near_duplicate_share",
)


class FeatureSummary(Record):
    """The network behind a generator's figures, and how pictures are prepared for it."""

    name: str
    sha256: str = Field(description="of the weights")
    dimension: int
    input_size: int | None = Field(
        description="side in pixels that pictures were resized to; None: taken as they are"
    )
    input_range: str
    resize: str


class GenerationFigures(Record):
    """How two sets of pictures compare."""

    distance: float = Field(description="Fréchet distance; falls with N")
    kid: float = Field(description="kernel distance, unbiased: mean over subsets")
    kid_std: float = Field(description="its standard deviation over subsets")
    precision: float = Field(description="share of fakes among the reals")
    recall: float = Field(description="share of reals among the fakes")
    density: float = Field(
        description="how many reals' neighbourhoods hold a fake, 1 expected of reals"
    )
    coverage: float = Field(description="share of reals' neighbourhoods that hold a fake")
    pairwise_ratio: float | None = Field(
        description="mean distance of two fakes over that of two reals"
    )
    near_duplicate_share: float = Field(
        description="fakes closer to another than 99.5 % of reals are to theirs"
    )


class GenerationReport(Record):
    """Figures of one generator, each beside its floor: the same figure between two sets of reals.

    `floor_n` is the size of these two sets.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    model_hash: str
    data_hash: str
    code_version: str
    size: int
    n: int
    seed: int
    features: FeatureSummary
    distance_label: str
    kid_label: str
    distance: float
    kid: float
    kid_std: float
    precision: float
    recall: float
    density: float
    coverage: float
    pairwise_ratio: float | None
    near_duplicate_share: float
    memorised_share: float | None = Field(
        description="fakes nearer to a training image than 99 % of held-out reals"
    )
    training_distance_ratio: float | None = Field(
        description="median distance to the nearest training image, fakes over held-out reals"
    )
    n_training: int
    n_heldout: int
    floor: float = Field(description="the Fréchet distance between two sets of floor_n reals")
    floor_n: int
    floor_figures: GenerationFigures

    @property
    def warning(self) -> str:
        """What N does not allow to conclude, in one line; empty where there is nothing to say."""
        parts = []
        if self.n < self.features.dimension:
            parts.append(
                f"N = {self.n} is below the {self.features.dimension} dimensions: rank-deficient; "
                f"compare {self.kid_label}"
            )
        elif self.n < ENOUGH:
            parts.append(
                f"N = {self.n} is below {ENOUGH}: {self.distance_label} is biased upwards; compare "
                "equal N only"
            )
        if self.floor_n < self.n:
            parts.append(f"the floor is of {self.floor_n} images each, too few for N, and too high")
        return "; ".join(parts)

    def table(self) -> str:
        """The results as plain text: each figure with its N, and the floor with its own."""
        floor = self.floor_figures
        network = self.features
        lines = [
            f"{self.model or 'generator'}, {self.size} px, seed {self.seed}, features "
            f"{network.name} ({network.dimension}-d, resize {network.resize})",
            _line("", "value", "N", "floor", "N"),
        ]

        def add(name: str, value: str, limit: str, floor_n: int | str) -> None:
            lines.append(_line(name, value, self.n, limit, floor_n))

        distance, floor_distance = f"{self.distance:.4g}", f"{floor.distance:.4g}"
        add(self.distance_label, distance, floor_distance, self.floor_n)
        kid = f"{self.kid:.5f} ± {self.kid_std:.5f}"
        floor_kid = f"{floor.kid:.5f} ± {floor.kid_std:.5f}"
        add(self.kid_label, kid, floor_kid, self.floor_n)
        for name in TABLE_FIGURES:
            value = rounded(getattr(self, name))
            limit = rounded(getattr(floor, name))
            add(name.replace("_", " "), value, limit, self.floor_n)
        # New faces are memorised as often as 1 % of held-out reals, and lie as far from the
        # training images as these.
        has_heldout = bool(self.n_heldout)
        n_heldout = self.n_heldout or "none"
        usual_share = rounded(0.01 if has_heldout else None)
        usual_ratio = rounded(1.0 if has_heldout else None)
        add("memorised share", rounded(self.memorised_share), usual_share, n_heldout)
        ratio = rounded(self.training_distance_ratio)
        add("distance to training, ratio", ratio, usual_ratio, n_heldout)
        if self.warning:
            lines.append(f"note: {self.warning}")
        return "\n".join(lines)


def _line(name: str, value: str, n: int | str, floor: str, floor_n: int | str) -> str:
    return f"{name:<28}{value:>20}{n:>8}{floor:>20}{floor_n:>8}"
