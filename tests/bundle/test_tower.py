"""The large detector: what its heads are linear in, where a logit comes from, what is refused."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fauxlab.bundle import tower as module
from fauxlab.bundle.config import DetectorConfig, Head, Preprocessing
from fauxlab.bundle.folder import GRAPH, HEADS
from fauxlab.bundle.heads import NAMES, HeadWeights
from fauxlab.bundle.opening import open_detector
from fauxlab.bundle.tower import (
    ARCHITECTURE,
    TOWER_FEATURES,
    TowerDetector,
    describe_tokens,
    save_tower_bundle,
)
from fauxlab.bundle.tower_session import MEAN, Tokens, Tower, multiplies_exactly, normalise
from fauxlab.bundle.tower_store import STORE, TOWER_SHA256, tower_path
from fauxlab.bundle.tower_texture import Texture
from fauxlab.bundle.tower_weights import (
    TowerWeights,
    layer_norm_names,
    read_weights,
    write_weights,
)
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.export import trace_graph

# The user's own store: the fixture `cache` of all tests hides it.
FETCHED = tower_path()
needs_tower = pytest.mark.skipif(
    not FETCHED.is_file(), reason="needs the tower: fauxlab models fetch fauxlab-large"
)
TEXTURE = 16  # features

Floats = NDArray[np.float32]


class DrawnTower:
    """In place of the tower: tokens drawn from the picture's first pixel."""

    def run(self, picture: NDArray[np.uint8]) -> Tokens:
        rng = np.random.default_rng(int(picture[0, 0, 0]))
        blocks = [rng.normal(1, 2, (197, 768)).astype(np.float32) for _ in range(4)]
        blocks[0][:, 5] = 3.0  # a feature that is the same everywhere
        return Tokens(blocks, rng.normal(size=512).astype(np.float32))


@pytest.fixture(scope="module")
def graph() -> bytes:
    torch.manual_seed(0)
    return trace_graph(create_detector("trace", 32, widths=[8, 16], blocks=[1, 1], stem=8), 32)


def make_heads(count: int = 2, features: int = TOWER_FEATURES + TEXTURE) -> HeadWeights:
    rng = np.random.default_rng(1)
    numbers = [rng.normal(0, 0.02, (count, features)), *rng.normal(0, 1, (2, count))]
    scale = rng.uniform(0.5, 2, count)
    return HeadWeights(*[array.astype(np.float32) for array in (*numbers, scale)])


def make_config(count: int = 2) -> DetectorConfig:
    heads = [Head(name="made", manipulation="made")]
    heads += [Head(name=f"altered{k}", manipulation="altered") for k in range(1, count)]
    return DetectorConfig(
        architecture=ARCHITECTURE,
        options={"tower": TOWER_SHA256},
        precision="int8",
        preprocessing=Preprocessing(size=224, pipeline_version=PIPELINE_VERSION),
        heads=tuple(heads),
    )


def make_norms() -> dict[str, Floats]:
    rng = np.random.default_rng(2)
    return {name: rng.normal(1, 0.1, 768).astype(np.float32) for name in layer_norm_names()}


@pytest.fixture
def detector(graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TowerDetector:
    """A saved detector on a tower that only draws."""
    monkeypatch.setattr(module, "Tower", lambda content, norms: DrawnTower())
    monkeypatch.setattr(module, "read_tower", lambda: b"")
    save_tower_bundle(tmp_path / "m", make_config(), TowerWeights(make_heads(), {}), graph)
    opened = open_detector(tmp_path / "m", trust=True)
    assert isinstance(opened, TowerDetector)
    return opened


def pictures(count: int, size: int = 224) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def test_a_prediction(detector: TowerDetector) -> None:
    pixels = pictures(3)
    prediction = detector.predict(pixels)
    shapes = [output.shape for output in prediction]
    assert shapes == [(3,), (3, 14, 14), (3,), (3, 2), (3, TOWER_FEATURES + TEXTURE)]
    assert all(output.dtype == np.float32 for output in prediction)
    heads = detector.read_heads()
    raw = prediction.features @ heads.weight.T + heads.bias
    alike = (raw - heads.centre) / heads.scale
    np.testing.assert_allclose(prediction.head_logits, alike, rtol=1e-4, atol=1e-4)
    joined = np.log(np.exp(alike.astype(np.float64)).sum(1))
    np.testing.assert_allclose(prediction.logits, joined, rtol=1e-4, atol=1e-4)
    maps = prediction.activation_maps
    np.testing.assert_allclose(maps.sum((1, 2)), prediction.logits, rtol=1e-4, atol=1e-3)


def test_no_picture_changes_the_score_of_another(detector: TowerDetector) -> None:
    pixels = pictures(3)
    together = detector.predict(pixels)
    for number in range(3):
        alone = detector.predict(pixels[number : number + 1])
        np.testing.assert_array_equal(alone.logits[0], together.logits[number])


def test_features_are_means_and_deviations_of_blocks_then_the_embedding() -> None:
    tokens = DrawnTower().run(pictures(1)[0])
    features = describe_tokens(tokens)
    assert features.shape == (TOWER_FEATURES,) == (6656,)
    np.testing.assert_array_equal(features[1536:2304], tokens.blocks[1].mean(0))
    np.testing.assert_array_equal(features[2304:3072], tokens.blocks[1].std(0))
    np.testing.assert_array_equal(features[6144:], tokens.embedding)


def test_texture_features_come_last_and_see_the_resized_picture(
    detector: TowerDetector, graph: bytes
) -> None:
    pixels = pictures(2)
    features = detector.predict(pixels).features
    _, texture = detector.texture.describe(pixels)
    np.testing.assert_array_equal(features[:, TOWER_FEATURES:], texture)
    assert texture.shape == (2, TEXTURE)
    one_at_a_time = Texture(detector.texture.session, most=1).describe(pixels)[1]
    np.testing.assert_allclose(one_at_a_time, texture, rtol=1e-4, atol=1e-5)


def test_a_map_shows_which_patch_a_logit_comes_from(
    graph: bytes, detector: TowerDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One patch has a feature that no other has; its mean and its deviation come from there."""
    tokens = DrawnTower().run(pictures(1)[0])
    tokens.blocks[2][:, 7] = 0
    tokens.blocks[2][1 + 3 * 14 + 4, 7] = 10
    for place in (4 * 768 + 7, 5 * 768 + 7):
        weight = np.zeros(TOWER_FEATURES + TEXTURE, np.float32)
        weight[place] = 50
        found = module._map_of(tokens, weight, np.float32(2))
        np.testing.assert_allclose(found.sum(), 2, rtol=1e-4)
        assert np.unravel_index(found.argmax(), found.shape) == (3, 4)
        others = np.delete(found.ravel(), 3 * 14 + 4)
        assert others.std() < 1e-3 * (found.max() - others.mean())


def test_a_saved_bundle_is_read_again(detector: TowerDetector, tmp_path: Path) -> None:
    assert detector.folder is not None
    assert {path.name for path in detector.folder.iterdir()} == {
        "README.md",
        "config.json",
        GRAPH,
        HEADS,
    }
    again = detector.save_pretrained(tmp_path / "again", {"reference.npz": b"x"})
    assert again.hash == detector.hash
    assert len(again.hash) == 16
    assert (tmp_path / "again" / "reference.npz").read_bytes() == b"x"


def test_the_hash_covers_the_heads(detector: TowerDetector, tmp_path: Path) -> None:
    heads = detector.read_heads()
    changed = detector.with_heads(heads._replace(bias=heads.bias + 1), detector.config)
    assert changed.hash == ""
    assert changed.save_pretrained(tmp_path / "other").hash != detector.hash


def test_a_head_more(detector: TowerDetector, tmp_path: Path) -> None:
    more = detector.with_heads(make_heads(3), make_config(3)).save_pretrained(tmp_path / "more")
    assert open_detector(tmp_path / "more", trust=True).hash == more.hash
    assert more.predict(pictures(1)).head_logits.shape == (1, 3)
    with pytest.raises(ValueError, match="3 heads, its config names 2"):
        detector.with_heads(make_heads(3), make_config(2))
    with pytest.raises(ValueError, match="heads of 9 features, the networks give 6672"):
        detector.with_heads(make_heads(2, 9), make_config(2))


def test_weights_are_read_as_written() -> None:
    weights = TowerWeights(make_heads(), make_norms())
    content = write_weights(weights)
    read = read_weights(content)
    for here, there in zip(weights.heads, read.heads, strict=True):
        np.testing.assert_array_equal(here, there)
    assert read.layer_norms.keys() == layer_norm_names()
    assert len(read.layer_norms) == 52
    for name, array in weights.layer_norms.items():
        np.testing.assert_array_equal(array, read.layer_norms[name])
    assert write_weights(read) == content


def save_arrays(compressed: bool = False, **arrays: object) -> bytes:
    stream = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def heads_as_arrays(**changed: object) -> dict[str, object]:
    return dict(zip(NAMES, make_heads(), strict=True)) | changed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged or no npz"),
        (b"PK\x03\x04 no zip", "damaged or no npz"),
        (write_weights(TowerWeights(make_heads(), {}))[:-40], "damaged or no npz"),
        (save_arrays(**{NAMES[0]: np.ones((2, 8), np.float32)}), f"no {NAMES[1]}"),
        (save_arrays(**heads_as_arrays(extra=np.ones(3))), "'extra', unknown or twice"),
        (save_arrays(compressed=True, **heads_as_arrays()), "is compressed"),
        (save_arrays(**heads_as_arrays(**{NAMES[1]: np.ones(2)})), "32-bit floats"),
        (save_arrays(**heads_as_arrays(**{NAMES[1]: np.ones((1, 1, 2), "<f4")})), "32-bit floats"),
        (
            save_arrays(**heads_as_arrays(**{NAMES[1]: np.array([None, None])})),
            "32-bit floats",
        ),
        (save_arrays(**heads_as_arrays(**{NAMES[3]: np.zeros(2, np.float32)})), "not above 0"),
        (
            save_arrays(
                **heads_as_arrays(
                    **{"vision_model.pre_layrnorm.bias": np.full(768, np.nan, np.float32)}
                )
            ),
            "not finite",
        ),
        (
            save_arrays(
                **heads_as_arrays(**{"vision_model.pre_layrnorm.bias": np.ones(7, np.float32)})
            ),
            "no list of 768",
        ),
    ],
)
def test_weights_that_cannot_be_used(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_weights(content)


def test_damaged_weights_give_one_line(detector: TowerDetector) -> None:
    assert detector.folder is not None
    path = detector.folder / HEADS
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=8):
            damaged[place] = rng.integers(256)
        try:
            read_weights(bytes(damaged))
        except ValueError:
            continue
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LabError, match=r"heads\.npz cannot be used"):
        TowerDetector.from_pretrained(detector.folder)


def test_another_tower_is_refused(graph: bytes, tmp_path: Path) -> None:
    config = make_config().model_copy(update={"options": {"tower": "0" * 64}})
    with pytest.raises(ValueError, match="needs another tower"):
        save_tower_bundle(tmp_path / "m", config, TowerWeights(make_heads(), {}), graph)


def test_heads_that_do_not_fit_the_networks(detector: TowerDetector, graph: bytes) -> None:
    assert detector.folder is not None
    heads = make_heads(2, TOWER_FEATURES + 1)
    save_tower_bundle(detector.folder, make_config(), TowerWeights(heads, {}), graph)
    with pytest.raises(LabError, match="heads of 6657 features, the networks give 6672"):
        TowerDetector.from_pretrained(detector.folder)


def test_a_graph_that_is_no_detector(detector: TowerDetector) -> None:
    assert detector.folder is not None
    (detector.folder / GRAPH).write_bytes(b"no graph")
    for trust in (False, True):
        with pytest.raises(LabError, match="cannot be used"):
            TowerDetector.from_pretrained(detector.folder, trust)


def test_without_the_tower_the_command_is_named(graph: bytes, tmp_path: Path) -> None:
    save_tower_bundle(tmp_path / "m", make_config(), TowerWeights(make_heads(), {}), graph)
    with pytest.raises(LabError, match="fauxlab models fetch fauxlab-large"):
        open_detector(tmp_path / "m")


def test_clip_sees_a_pixel_as_it_was_trained_to() -> None:
    pixels = np.zeros((3, 2, 2), np.uint8)
    np.testing.assert_allclose(normalise(pixels)[:, 0, 0], [-1.7922626, -1.7520971, -1.4802198])
    pixels[:] = 255
    assert (normalise(pixels)[0] > MEAN[0]).all()


def test_a_product_of_integers_is_tried() -> None:
    assert multiplies_exactly() in (True, False)


# --- with the tower itself


@pytest.fixture(scope="module")
def content() -> bytes:
    return FETCHED.read_bytes()


@needs_tower
def test_other_layer_norms_change_every_output(content: bytes) -> None:
    picture = pictures(1)[0]
    tower = Tower(content, {})
    plain = tower.run(picture)
    assert [block.shape for block in plain.blocks] == [(197, 768)] * 4
    assert plain.embedding.shape == (512,)
    tuned = Tower(content, make_norms()).run(picture)
    for here, there in zip(plain.blocks, tuned.blocks, strict=True):
        assert np.abs(here - there).max() > 0.1
    late = {"vision_model.post_layernorm.bias": np.ones(768, np.float32)}
    only_last = Tower(content, late).run(picture)
    for here, there in zip(plain.blocks, only_last.blocks, strict=True):
        np.testing.assert_array_equal(here, there)
    assert np.abs(plain.embedding - only_last.embedding).max() > 0.1


@needs_tower
def test_slower_exact_sums_give_the_same(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a processor without VNNI computes with, and with VNNI the same to the last bit."""
    if not multiplies_exactly():
        pytest.skip("this processor has the slower sums alone")
    picture = pictures(1)[0]
    fast = Tower(content, {}).run(picture)
    monkeypatch.setattr("fauxlab.bundle.tower_session.multiplies_exactly", lambda: False)
    slow = Tower(content, {}).run(picture)
    np.testing.assert_array_equal(fast.embedding, slow.embedding)
    for here, there in zip(fast.blocks, slow.blocks, strict=True):
        np.testing.assert_array_equal(here, there)


@needs_tower
def test_the_detector_on_the_tower(
    graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE, str(FETCHED.parent))
    weights = TowerWeights(make_heads(), make_norms())
    digest = save_tower_bundle(tmp_path / "m", make_config(), weights, graph)
    opened = open_detector(tmp_path / "m")
    assert opened.hash == digest
    prediction = opened.predict(pictures(2))
    assert np.isfinite(prediction.logits).all()
    np.testing.assert_allclose(
        prediction.activation_maps.sum((1, 2)), prediction.logits, rtol=1e-4, atol=1e-3
    )
    damaged = tmp_path / "store" / FETCHED.name
    damaged.parent.mkdir()
    shutil.copyfile(FETCHED, damaged)
    with damaged.open("r+b") as stream:
        stream.seek(40_000_000)
        stream.write(b"damage")
    monkeypatch.setenv(STORE, str(damaged.parent))
    with pytest.raises(LabError, match="damaged; `fauxlab models fetch"):
        open_detector(tmp_path / "m")
