"""What is found of generators: figures on a named feature network, each beside its floor."""

from __future__ import annotations

from pydantic import Field

from fauxlab.records.base import Record, rounded

SCHEMA_VERSION = 4  # of the records in this file


class FeatureSummary(Record):
    """The network behind a generator's figures, and how pictures reached it."""

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
    """Figures of one generator, each beside its floor: the same figure between two sets of reals."""

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
        """One line on what N does not allow; empty where there is nothing to warn of."""
        short = self.n < self.features.dimension
        parts = [
            f"N = {self.n} is below the {self.features.dimension} dimensions: rank-deficient; compare {self.kid_label}"
            if short
            else f"N = {self.n} is below 2048: {self.distance_label} is biased upwards; compare equal N only"
            if self.n < 2048
            else "",
            f"the floor is of {self.floor_n} images each, too few for N, and too high"
            if self.floor_n < self.n
            else "",
        ]
        return "; ".join(part for part in parts if part)

    def table(self) -> str:
        """The report as a plain text table: each figure with its N, and the floor with the floor's."""
        floor = self.floor_figures
        lines = [
            f"{self.model or 'generator'}, {self.size} px, seed {self.seed}, features {self.features.name} "
            f"({self.features.dimension}-d, resize {self.features.resize})",
            f"{'':<28}{'value':>20}{'N':>8}{'floor':>20}{'N':>8}",
        ]

        def row(name: str, value: str, limit: str, floor_n: int | str) -> None:
            lines.append(f"{name:<28}{value:>20}{self.n:>8}{limit:>20}{floor_n:>8}")

        row(self.distance_label, f"{self.distance:.4g}", f"{floor.distance:.4g}", self.floor_n)
        kid, floor_kid = (f"{x.kid:.5f} ± {x.kid_std:.5f}" for x in (self, floor))
        row(self.kid_label, kid, floor_kid, self.floor_n)
        names = (
            "precision",
            "recall",
            "density",
            "coverage",
            "pairwise_ratio",
            "near_duplicate_share",
        )
        for name in names:
            row(
                name.replace("_", " "),
                rounded(getattr(self, name)),
                rounded(getattr(floor, name)),
                self.floor_n,
            )
        held = self.n_heldout or "none"
        row(
            "memorised share",
            rounded(self.memorised_share),
            rounded(0.01 if self.n_heldout else None),
            held,
        )
        ratio = self.training_distance_ratio
        row(
            "distance to training, ratio",
            rounded(ratio),
            rounded(1.0 if self.n_heldout else None),
            held,
        )
        if self.warning:
            lines.append(f"note: {self.warning}")
        return "\n".join(lines)
