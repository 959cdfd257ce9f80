"""The detector that comes with the package: whole, as its card says, and usable at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
from benchmarks.detector.ood_images import KINDS, draw_ood_image
from PIL import Image

import fauxlab
from fauxlab.bundle.decision import in_distribution
from fauxlab.bundle.folder import CARD, CONFIG, GRAPH
from fauxlab.bundle.opening import DEFAULT_MODEL, PACKAGED, open_detector
from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.io.images import decode, to_square
from fauxlab.io.sources import SEPARATOR, zip_images
from fauxlab.scan.scanner import Scanner


def test_the_bundle_is_small_and_its_card_is_its_own() -> None:
    assert {path.name for path in PACKAGED.iterdir()} == {GRAPH, CONFIG, CARD}
    assert sum(path.stat().st_size for path in PACKAGED.iterdir()) < 12 * 2**20
    card = (PACKAGED / CARD).read_text(encoding="utf-8")
    detector = open_detector(DEFAULT_MODEL)
    assert re.findall(r"hash `(\w+)`", card) == [detector.hash]
    assert f"{detector.config.threshold:.3f}" in card
    assert "n/a" not in card, "every figure that the card has a place for was measured"


def test_it_is_calibrated_knows_what_it_was_made_for_and_explains_itself() -> None:
    detector = open_detector(DEFAULT_MODEL)
    assert detector.config.calibration is not None
    assert detector.config.calibration.band is not None
    assert detector.config.ood is not None
    photos = plan(2)
    pixels = np.stack([draw("wiki", photos, k, detector.size).transpose(2, 0, 1) for k in range(2)])
    judged = detector.predict(pixels)
    np.testing.assert_allclose(judged.activation_maps.sum((1, 2)), judged.logits, atol=1e-4)


def test_most_odd_pictures_are_answered_with_cannot_tell(tmp_path: Path) -> None:
    scanner = Scanner.from_pretrained(crop="none")
    for kind in KINDS:
        for seed in range(4):
            picture = draw_ood_image(kind, 200, seed)
            Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / f"{kind}-{seed}.png")
    verdicts = list(scanner.scan(sorted(map(str, tmp_path.iterdir()))))
    told = [verdict for verdict in verdicts if verdict.decision != "cannot tell"]
    assert len(told) < 0.3 * len(verdicts)


def test_research_faces_are_told_apart(faces: Path) -> None:
    scanner = Scanner.from_pretrained(crop="none")
    scores = {}
    for name in ("ffhq", "celeba", "sd21", "generated-photos"):
        archive = faces / f"{name}.zip"
        paths = [f"{archive}{SEPARATOR}{member}" for member in zip_images(archive)[:40]]
        scores[name] = [verdict.score or 0.0 for verdict in scanner.scan(paths)]
    reals, fakes = (
        [*scores[a], *scores[b]] for a, b in (("ffhq", "celeba"), ("sd21", "generated-photos"))
    )
    ordered = np.mean([fake > real for fake in fakes for real in reals])
    assert ordered > 0.9, "the AUC"


def test_a_scan_gives_what_the_detector_gives_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    Image.fromarray(draw("wiki", plan(1), 0, 256)).save(path)
    detector = open_detector(DEFAULT_MODEL)
    judged = detector.predict(to_square(decode(path.read_bytes()), detector.size)[None])
    verdict = Scanner.from_pretrained(crop="none")(path)
    assert verdict.score == detector.scores(judged.logits)[0]
    assert verdict.ood == (not in_distribution(detector.config, float(judged.ood_distances[0])))
    assert verdict.model_hash == detector.hash


def test_every_file_beside_the_code_is_in_the_package() -> None:
    source = Path(fauxlab.__file__).parent
    settings = tomllib.loads((source.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["fauxlab"]
    packaged = {path for pattern in patterns for path in source.glob(pattern)}
    others = {path for path in source.rglob("*") if path.is_file() and path.suffix != ".py"}
    assert {path for path in others if path.suffix != ".pyc"} == packaged
