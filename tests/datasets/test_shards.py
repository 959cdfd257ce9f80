"""Parquet shards become zips with the same bytes, a folder for each person, whole or not at all."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fauxlab.data.indexing import index
from fauxlab.datasets.shards import pack_shard, write_table
from fauxlab.errors import LabError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

Jpeg = Callable[..., bytes]


def write(
    path: Path, people: list[int | None], pictures: list[bytes | None], **columns: list[Any]
) -> Path:
    images = [{"bytes": data, "path": None} for data in pictures]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    table = {
        "image": pyarrow.array(images, kind),
        "celeb_id": pyarrow.array(people, pyarrow.int64()),
        **columns,
    }
    parquet.write_table(pyarrow.table(table), path, row_group_size=2)
    return path


def test_bytes_are_kept_and_people_are_groups(tmp_path: Path, jpeg: Jpeg) -> None:
    stream = io.BytesIO()
    Image.open(io.BytesIO(jpeg(3))).save(stream, "PNG")
    pictures = [jpeg(0), jpeg(1), jpeg(2), stream.getvalue()]
    shard = write(
        tmp_path / "s.parquet", [7, 2880, 7, 10177], pictures, Smiling=[True, False, True, True]
    )
    done: list[int] = []
    assert pack_shard(shard, tmp_path / "train-00000.zip", done.append) == 4 == sum(done)
    with zipfile.ZipFile(tmp_path / "train-00000.zip") as archive:
        assert archive.namelist() == [
            "00007/00001.jpg",
            "02880/00002.jpg",
            "00007/00003.jpg",
            "10177/00004.png",
        ]
        assert [archive.read(name) for name in archive.namelist()] == pictures
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    write_table(tmp_path, ["train-00000.zip"], "celeba")
    assert (tmp_path / "metadata.csv").read_text().splitlines()[:2] == [
        "file_name,label,generator,group,source",
        "train-00000/00007/00001.jpg,real,,celeba 00007,celeba",
    ]
    rows = index(tmp_path).rows
    assert [row.group for row in rows] == [
        "celeba 00007",
        "celeba 02880",
        "celeba 00007",
        "celeba 10177",
    ]
    assert {(row.label, row.generator, row.source) for row in rows} == {(0, "", "celeba")}


def test_the_same_shard_gives_the_same_zip(tmp_path: Path, jpeg: Jpeg) -> None:
    shard = write(tmp_path / "s.parquet", [1, 2], [jpeg(0), jpeg(1)])
    for name in ("a.zip", "b.zip"):
        pack_shard(shard, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_zip_is_none(
    tmp_path: Path, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    shard = write(tmp_path / "s.parquet", [1, 2, 3], [jpeg(0), jpeg(1), jpeg(2)])

    def advance(n: int) -> None:
        assert len(os.listdir(tmp_path)) == 2  # what was written so far lies aside
        raise fault

    with pytest.raises((KeyboardInterrupt, LabError)) as caught:
        pack_shard(shard, tmp_path / "a.zip", advance)
    if isinstance(fault, OSError):
        assert "No space left" in str(caught.value)
    assert os.listdir(tmp_path) == ["s.parquet"]


def test_a_picture_without_bytes_is_skipped_by_the_index(tmp_path: Path, jpeg: Jpeg) -> None:
    write(tmp_path / "s.parquet", [1, 2, 3], [jpeg(0), None, b"GIF?"])
    pack_shard(tmp_path / "s.parquet", tmp_path / "a.zip")
    write_table(tmp_path, ["a.zip"], "celeba")
    manifest = index(tmp_path)
    assert (len(manifest), len(manifest.skipped)) == (1, 2)


def test_shards_that_are_not_as_they_should_be(tmp_path: Path, jpeg: Jpeg) -> None:
    def refusal(shard: Path) -> str:
        with pytest.raises(LabError) as caught:
            pack_shard(shard, tmp_path / "a.zip")
        assert not (tmp_path / "a.zip").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    parquet.write_table(pyarrow.table({"image": [b"x"], "id": [1]}), tmp_path / "other.parquet")
    assert "lacks the column celeb_id and image.bytes" in refusal(tmp_path / "other.parquet")
    assert "people cannot be kept apart" in refusal(
        write(tmp_path / "nobody.parquet", [None], [jpeg()])
    )
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1, so it says")
    assert "cannot turn" in refusal(tmp_path / "damaged.parquet")
    assert "No such file" in refusal(tmp_path / "gone.parquet")
