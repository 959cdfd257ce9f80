"""The runs that `recipes.py` trains: recipes, what is changed in them, and seeds."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass

# By image size: first the recipe that should beat the others.
RECIPES = {
    32: ("r3-32", "report-v2-32", "report-v1-32", "sngan-32"),
    64: ("r3", "report-v2-64", "report-v1-64", "sngan"),
    128: ("r3-128", "report-v2", "report-v1"),
}
# Images that each run sees. At 128 px: the paper's 100 epochs of 2,800 images.
IMAGES = {32: 300_000, 64: 3_000_000, 128: 280_000}
# Short runs that test the guard: it checks often, in the features that cost least. Where a value is
# given twice, the later one counts.
SHORT = ["guard.every=2500", "evaluate.every=10000", "evaluate.features=randconv"]
# Mode collapse on purpose: the discriminator stops learning at half of the run, and the generator
# learns what the discriminator does not see.
DEAD_DISCRIMINATOR = [
    "train.discriminator_lr={start=2e-4,end=0,over=0.5}",
    "train.images=60000",
    *SHORT,
    "evaluate.every=5000",
]
# Two trainings that may fail of themselves: with few faces, and without gradient penalties.
FEW_FACES = [
    "data.limit=200",
    "train.images=150000",
    *SHORT,
    "guard.every=5000",
    "evaluate.every=15000",
]
NO_PENALTY = ["gan.r1=0", "gan.r2=0", "train.images=60000", *SHORT]
ROLLBACK = "guard.on_collapse=rollback"
ABLATIONS = {
    "": [],
    "no R2": ["gan.r2=0"],
    # Not trained: the last weights of the whole recipe's run before averaging.
    "no EMA": [],
    "no augmentation": ["gan.augment=[]"],
    "dead discriminator": DEAD_DISCRIMINATOR,
    "dead discriminator rollback": [*DEAD_DISCRIMINATOR, ROLLBACK],
    "few faces": FEW_FACES,
    "no penalty": NO_PENALTY,
    "no penalty rollback": [*NO_PENALTY, ROLLBACK],
}


@dataclass(frozen=True)
class PlannedRun:
    """One run: a recipe, what is changed in it, and a seed."""

    recipe: str
    ablation: str
    seed: int

    @property
    def name(self) -> str:
        """The run folder's name."""
        words = self.ablation.lower().split()
        return "-".join([self.recipe, *words, f"s{self.seed}"])

    @property
    def names(self) -> set[str]:
        """By which `--only` chooses it: its own, and its recipe's where nothing is changed."""
        return {self.name} if self.ablation else {self.name, self.recipe}


def plan_runs(size: int, seeds: list[int]) -> list[PlannedRun]:
    """All runs at a size: the unchanged recipes with every seed, then the rest with the first."""
    recipes = RECIPES[size]
    best, second = recipes[:2]
    runs = [PlannedRun(recipe, "", seed) for seed in seeds for recipe in recipes]
    changed = [(best, part) for part in ("no R2", "no EMA", "no augmentation")]
    changed += [(second, "dead discriminator"), (second, "dead discriminator rollback")]
    changed += [(recipe, "few faces") for recipe in recipes]
    changed += [(best, "no penalty"), (best, "no penalty rollback")]
    return runs + [PlannedRun(recipe, part, seeds[0]) for recipe, part in changed]


def list_overrides(run: PlannedRun, options: Namespace) -> list[str]:
    """The recipe's changes. The guard only warns, unless the run shows what a rollback does."""
    images = options.images
    common = [
        f"data.sources={options.sources}",
        f"train.seed={run.seed}",
        f"train.images={images}",
        f"train.precision={options.precision}",
        f"evaluate.every={images // options.evaluations}",
        f"evaluate.features={options.features}",
        "evaluate.n=2000",
        f"guard.every={max(10_000, images // 30)}",
        "guard.on_collapse=warn",
    ]
    return [*common, *ABLATIONS[run.ablation]]
