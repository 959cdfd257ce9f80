"""Exported detectors: they give what torch gives, run without it, and what cannot be used is
refused with one line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fauxlab.bundle import opening
from fauxlab.bundle.config import Calibration, DetectorConfig, Head, Preprocessing
from fauxlab.bundle.decision import decide
from fauxlab.bundle.folder import CONFIG, GRAPH, WEIGHTS
from fauxlab.bundle.heads import read_heads
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.bundle.opening import open_detector
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector, export
from fauxlab.models.export import export_onnx
from fauxlab.models.half import halve_weights
from fauxlab.models.pretrained import Detector
from fauxlab.scan.scanner import Scanner

SMALL: dict[str, dict[str, Any]] = {
    "report-cnn": {"widths": [8, 16]},
    "trace": {"widths": [8, 16], "blocks": [2, 1], "stem": 8},
    "inception": {},
}
HEADS = (Head(name="made", manipulation="made"), Head(name="altered", manipulation="altered"))


def pictures(size: int, count: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def make(name: str, size: int, **options: Any) -> Detector:
    """A detector of random weights whose statistics are of pictures, with logits a few units apart,
    as if trained.
    """
    torch.manual_seed(0)
    network = create_detector(name, size, **options)
    with torch.no_grad():
        for _ in range(5):
            network(torch.rand(8, 3, size, size) * 2 - 1)
        for buffer in ("mean", "root"):
            if hasattr(network, "typicality"):
                getattr(network.typicality, buffer).normal_()
        head = network.head if isinstance(network.head, torch.nn.Linear) else network.head.linear  # type: ignore[union-attr]
        logits = network.eval()(torch.rand(16, 3, size, size) * 2 - 1)
        head.weight.mul_(2 / logits.std(0).mean())  # type: ignore[union-attr, operator]
        heads: tuple[Head, ...] = ()
        if options.get("heads") == 2:
            heads = HEADS
            network.head.join.centre.copy_(torch.tensor([0.5, -0.25]))  # type: ignore[union-attr]
            network.head.join.scale.copy_(torch.tensor([1.5, 0.75]))  # type: ignore[union-attr]
    how = Preprocessing(size=size, pipeline_version=PIPELINE_VERSION)
    fit = Calibration(temperature=1.5, bias=0.25)
    config = DetectorConfig(
        architecture=name,
        options=options,
        preprocessing=how,
        calibration=fit,
        threshold=0.4,
        heads=heads,
    )
    return Detector(network, config)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One detector as written for torch, and exported."""
    folder = tmp_path_factory.mktemp("trace")
    saved = make("trace", 32, **SMALL["trace"]).save_pretrained(folder / "torch")
    export_onnx(saved, folder / "onnx")
    return folder / "torch", folder / "onnx"


@pytest.fixture
def copied(trace: tuple[Path, Path], tmp_path: Path) -> Path:
    return shutil.copytree(trace[1], tmp_path / "onnx")


@pytest.mark.parametrize(
    ("name", "size", "heads"),
    [
        ("report-cnn", 32, 0),
        ("trace", 40, 0),
        ("trace", 40, 2),
        ("inception", 75, 0),
        ("inception", 75, 2),
    ],
)
def test_a_graph_gives_what_torch_gives(tmp_path: Path, name: str, size: int, heads: int) -> None:
    options = {"heads": heads} if heads else {}
    detector = make(name, size, **SMALL[name], **options)
    export_onnx(detector, tmp_path / "m")
    graph = OnnxDetector.from_pretrained(tmp_path / "m")
    pixels = pictures(size)
    expected = detector.predict(pixels)  # the exported network itself is as it was
    assert expected.logits.std() > 0.1
    for count in (1, 5):
        found = graph.predict(pixels[:count])
        for here, there in zip(expected, found, strict=True):
            assert here.dtype == there.dtype == np.float32
            scale = float(np.abs(here).max(initial=1))
            np.testing.assert_allclose(there, here[:count], rtol=0, atol=1e-4 * scale)
        np.testing.assert_allclose(
            found.activation_maps.sum((1, 2)), found.logits, rtol=1e-5, atol=1e-4
        )
    assert expected.head_logits.shape == (5, heads)
    assert expected.features.shape[1] > 0
    assert (expected.ood_distances > 0).all() == (name != "report-cnn")
    np.testing.assert_allclose(
        graph.scores(expected.logits), detector.scores(expected.logits), atol=1e-6
    )
    assert decide(graph.config, 0.4) == decide(detector.config, 0.4) == ("fake", False)


def test_logits_of_judging_are_the_networks_own() -> None:
    detector = make("trace", 32, **SMALL["trace"])
    pixels = pictures(32)
    with torch.inference_mode():
        expected = detector.model(torch.from_numpy(pixels) / 127.5 - 1).numpy()
    np.testing.assert_allclose(detector.predict(pixels).logits, expected, atol=1e-5)


def test_what_is_written(trace: tuple[Path, Path]) -> None:
    source, folder = Detector.from_pretrained(trace[0]), trace[1]
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", CONFIG, GRAPH]
    graph = onnx.load(folder / GRAPH)
    assert {prop.key: prop.value for prop in graph.metadata_props} == {
        "architecture": "trace",
        "size": "32",
        "crop": "centre-square",
        "resize": "bicubic-antialiased",
        "input_range": "-1 1",
        "pipeline_version": str(PIPELINE_VERSION),
        "labels": "real fake",
        "threshold": "0.4",
        "temperature": "1.5",
        "bias": "0.25",
        "most_distance": "inf",
        "least_detail": "0.0",
        "precision": "float32",
        "source": source.hash,
    }
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    config = OnnxDetector.from_pretrained(folder).config
    assert config.training == {"exported_from": source.hash}
    assert config.model_copy(update={"training": {}}) == source.config
    assert OnnxDetector.from_pretrained(folder).hash in (folder / "README.md").read_text()


def test_integers_are_near(trace: tuple[Path, Path], tmp_path: Path) -> None:
    detector, pixels = Detector.from_pretrained(trace[0]), pictures(32, 48)
    made = export_onnx(detector, tmp_path / "m", pixels)
    loaded = OnnxDetector.from_pretrained(tmp_path / "m")
    assert (loaded.config.precision, loaded.hash) == ("int8", made.hash)
    kinds = [node.op_type for node in onnx.load(tmp_path / "m" / GRAPH).graph.node]
    assert kinds.count("QuantizeLinear") >= 6
    exact, near = detector.predict(pixels), loaded.predict(pixels)
    assert np.corrcoef(exact.logits, near.logits)[0, 1] > 0.95
    np.testing.assert_allclose(near.activation_maps.sum((1, 2)), near.logits, atol=1e-4)
    again = export_onnx(detector, tmp_path / "m")
    assert (again.config.precision, again.hash != made.hash) == ("float32", True), (
        "an older export is replaced"
    )


def test_weights_in_16_bits_take_half_the_space_and_give_nearly_the_same(tmp_path: Path) -> None:
    detector = make("trace", 32, widths=[16, 32], blocks=[1, 1], stem=16, heads=2)
    full = export_onnx(detector, tmp_path / "full")
    export_onnx(detector, tmp_path / "half", half=True)
    half = OnnxDetector.from_pretrained(tmp_path / "half")  # with the checks of foreign graphs
    sizes = [(tmp_path / name / GRAPH).stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    assert half.config.precision == "float16"
    stored = {item.name: item for item in onnx.load(tmp_path / "half" / GRAPH).graph.initializer}
    kinds = {name: item.data_type for name, item in stored.items()}
    assert all((kinds[name] == TensorProto.FLOAT16) == (".float16" in name) for name in kinds)
    content = (tmp_path / "half" / GRAPH).read_bytes()
    weight = detector.model.state_dict()["head.linear.weight"].numpy()
    np.testing.assert_array_equal(read_heads(content).weight, weight)

    exact, near = full.predict(pictures(32)), half.predict(pictures(32))
    assert not np.array_equal(exact.logits, near.logits)
    for here, there in zip(exact, near, strict=True):
        np.testing.assert_allclose(there, here, rtol=0, atol=2e-3 * np.abs(here).max())
    told = half.config.metrics[export.HALF]
    assert 0 < told < 1e-2 * np.abs(exact.logits).max()
    with pytest.raises(LabError, match="exclude each other"):
        export_onnx(detector, tmp_path / "both", pictures(32), half=True)


def test_numbers_beyond_16_bits_stay_in_32() -> None:
    detector = make("trace", 32, widths=[16, 32], blocks=[1, 1], stem=16)
    with torch.no_grad():
        detector.model.trunk.stages[1][0].second.weight[0, 0, 0, 0] = 1e9  # type: ignore[union-attr, index]
    content = export.trace_graph(detector.model, 32)
    halved = onnx.load_model_from_string(halve_weights(content))
    large = [item for item in halved.graph.initializer if list(item.dims) == [32, 32, 3, 3]]
    assert [item.data_type for item in large] == [TensorProto.FLOAT]


def test_an_export_never_takes_the_place_of_other_things(
    trace: tuple[Path, Path], tmp_path: Path
) -> None:
    detector = Detector.from_pretrained(trace[0])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/thesis.tex").touch()
    shutil.copytree(trace[0], tmp_path / "best")
    for name, message in (
        ("notes", r"is no model \(it holds 'thesis.tex'\)"),
        ("best", "no exported model"),
    ):
        with pytest.raises(LabError, match=message):
            export_onnx(detector, tmp_path / name)
    assert (tmp_path / "best" / WEIGHTS).exists()


def test_a_graph_that_differs_is_not_written(
    trace: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector.from_pretrained(trace[0])
    other = export.trace_graph(make("report-cnn", 32).model, 32)
    monkeypatch.setattr(export, "trace_graph", lambda *_: other)
    with pytest.raises(LabError, match="from torch's; nothing was written"):
        export_onnx(detector, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_graph_comes_first(
    trace: tuple[Path, Path], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(open_detector(trace[0]), Detector)
    assert isinstance(open_detector(copied), OnnxDetector)
    shutil.copy(trace[0] / WEIGHTS, copied)
    assert isinstance(open_detector(copied), OnnxDetector)
    monkeypatch.setitem(opening.PACKAGED_MODELS, "fauxlab", copied)
    assert open_detector("fauxlab").hash == open_detector(copied).hash
    monkeypatch.setitem(opening.PACKAGED_MODELS, "fauxlab", copied / "none")
    with pytest.raises(LabError, match="came without this detector"):
        open_detector("fauxlab")


BLOCKED = """
import sys
for name in ("torch", "safetensors", "accelerate", "matplotlib", "torchmetrics", "onnx"):
    sys.modules[name] = None
from fauxlab.cli import main
main()
"""


def light(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command where nothing but the core is installed."""
    command = [sys.executable, "-c", BLOCKED, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_scanning_needs_no_torch(
    trace: tuple[Path, Path], tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    photos = [tmp_path / f"{i}.jpg" for i in range(3)]
    for i, photo in enumerate(photos):
        photo.write_bytes(jpeg(i))
    done = light("scan", *photos, "--model", trace[1], "--crop", "none", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for verdict, expected in zip(
        found, Scanner.from_pretrained(trace[0], "none").scan(map(str, photos)), strict=True
    ):
        assert verdict["label"] == expected.label
        assert verdict["score"] == pytest.approx(expected.score, abs=1e-4)


def test_without_torch_the_way_out_is_named(trace: tuple[Path, Path], tmp_path: Path) -> None:
    for arguments, message in (
        (("scan", "a.jpg", "--model", trace[0]), "pip install 'fauxlab[train]'"),
        (("scan", "a.jpg", "--model", tmp_path / "none"), "no config.json"),
        (("export", trace[0]), "pip install 'fauxlab[train]'"),
    ):
        done = light(*arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert message in done.stderr


def edit_config(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, **changes}))

    return edit


def edit_graph(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        graph = onnx.load(folder / GRAPH)
        change(graph)
        (folder / GRAPH).write_bytes(graph.SerializeToString())

    return edit


def drop_further_outputs(folder: Path) -> None:
    """As fauxlab before version 0.4 exported."""
    graph = onnx.load(folder / GRAPH)
    del graph.graph.output[3:]
    assert [output.name for output in graph.graph.output] == [*ALL]
    (folder / GRAPH).write_bytes(graph.SerializeToString())


def test_older_graphs_have_three_outputs(copied: Path) -> None:
    before = OnnxDetector.from_pretrained(copied).predict(pictures(32))
    drop_further_outputs(copied)
    after = OnnxDetector.from_pretrained(copied).predict(pictures(32))
    for one, other in zip(before[:3], after[:3], strict=True):
        np.testing.assert_array_equal(one, other)
    assert before.features.shape == (5, 16)
    assert (after.head_logits.shape, after.features.shape) == ((5, 0), (5, 0))


def test_heads_agree_with_the_config(tmp_path: Path) -> None:
    two = make("trace", 32, **SMALL["trace"], heads=2)
    made = export_onnx(two, tmp_path / "onnx")
    opened = OnnxDetector.from_pretrained(tmp_path / "onnx")  # with the checks of foreign graphs
    assert opened.config.heads == made.config.heads == HEADS
    plain = replace(two, config=two.config.model_copy(update={"heads": ()}))
    with pytest.raises(ValueError, match="it has 2 heads, its config names 0"):
        export_onnx(plain, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    plain.save_pretrained(tmp_path / "torch")
    with pytest.raises(LabError, match=r"torch cannot be used \(it has 2 heads, its .* names 0"):
        Detector.from_pretrained(tmp_path / "torch")
    drop_further_outputs(tmp_path / "onnx")
    with pytest.raises(LabError, match=r"onnx cannot be used \(it has 0 heads, its .* names 2"):
        open_detector(tmp_path / "onnx")


def spoil(graph: onnx.ModelProto) -> None:
    for item in graph.graph.initializer:
        item.raw_data = np.full(len(item.raw_data) // 4, np.nan, dtype=np.float32).tobytes()


def point_outside(graph: onnx.ModelProto) -> None:
    item = graph.graph.initializer[0]
    item.ClearField("raw_data")
    item.data_location = TensorProto.EXTERNAL
    item.external_data.add(key="location", value="README.md")


def of_one_node(
    kind: str,
    outputs: tuple[str, ...] = ("logits",),
    name: str = "images",
    side: int = 32,
    count: int | str = "N",
) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        values = [helper.make_tensor_value_info(item, TensorProto.FLOAT, None) for item in outputs]
        given = helper.make_tensor_value_info(name, TensorProto.FLOAT, [count, 3, side, side])
        nodes = [helper.make_node(kind, [name], [item]) for item in outputs]
        graph = helper.make_graph(nodes, "g", [given], values)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (folder / GRAPH).write_bytes(model.SerializeToString())

    return edit


def lengthen_a_loop(folder: Path) -> None:
    """Its operation's length in two bytes where one would do, which readers take."""
    of_one_node("Loop", ALL)(folder)
    (folder / GRAPH).write_bytes(
        (folder / GRAPH).read_bytes().replace(b"\x22\x04Loop", b"\x22\x84\x00Loop")
    )


ALL = ("logits", "evidence", "distance")
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / CONFIG).unlink(), "no config.json"),
    "empty": (lambda f: os.truncate(f / GRAPH, 0), "cannot be used"),
    "cut": (lambda f: os.truncate(f / GRAPH, 5000), "cannot be used"),
    "text": (lambda f: (f / GRAPH).write_text("I am a model"), "cannot be used"),
    "noise": (
        lambda f: (f / GRAPH).write_bytes(np.random.default_rng(0).bytes(9999)),
        "cannot be used",
    ),
    "data outside": (edit_graph(point_outside), "refers to other files"),
    "not finite": (edit_graph(spoil), "no finite score"),
    "other input": (of_one_node("Identity", ALL, "picture"), "its inputs are"),
    "other size": (of_one_node("Identity", ALL, side=64), "its inputs are"),
    "other outputs": (of_one_node("Identity"), "cannot be used"),
    "other shapes": (of_one_node("Identity", ALL), r"outputs have \[4, 4, 4\] dimensions"),
    "two at once": (of_one_node("Identity", ALL, count=2), "takes 2 pictures at once"),
    "a loop": (of_one_node("Loop", ALL), "operator 'Loop' .*--trust-model"),
    "a loop written at length": (lengthen_a_loop, "cannot be used"),
    "unknown operation": (of_one_node("Summon\x1b[2J", ALL), r"operator 'Summon\\x1b\[2J'"),
    "size in the config": (
        edit_config(preprocessing={"size": 64, "pipeline_version": PIPELINE_VERSION}),
        "size '32'",
    ),
    "another model's config": (
        edit_config(training={"exported_from": "0123456789abcdef"}),
        "made for source '.*', its config says '0123456789abcdef'",
    ),
    "precision in the config": (edit_config(precision="int8"), "made for precision"),
    "unknown precision": (edit_config(precision="int4"), "precision"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_bundles(copied: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    damage, message = DAMAGE[name]
    damage(copied)
    with pytest.raises(LabError, match=message) as caught:
        open_detector(copied)
    assert str(caught.value).isprintable()
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "onnxruntime itself is silent"


def test_a_later_calibration_changes_the_config_alone(copied: Path, tmp_path: Path) -> None:
    """The graph tells the calibration of its export; the config counts."""
    before = OnnxDetector.from_pretrained(copied)
    fit = Calibration(temperature=2, bias=0.5)
    config = before.config.model_copy(update={"calibration": fit, "threshold": 0.6})
    saved = replace(before, config=config).save_pretrained(tmp_path / "again")
    again = OnnxDetector.from_pretrained(tmp_path / "again")
    assert again.hash == saved.hash != before.hash
    assert (again.config.threshold, again.config.calibration) == (0.6, fit)
    assert (tmp_path / "again" / GRAPH).read_bytes() == (copied / GRAPH).read_bytes()
    assert OnnxDetector.from_pretrained(copied).hash == before.hash
