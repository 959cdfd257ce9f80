"""Files of the Hugging Face hub: listed with their hashes, fetched, continued, and checked.

A file gets its name only once its SHA-256 is the stated one. Until then it grows beside that place,
under a name that holds the hash: an interrupted transfer continues where it stopped, and two
versions never mix.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fauxlab.errors import LabError
from fauxlab.io.text import hash_file, printable

AGAIN = "run the same command again, it goes on where it stopped"
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a data set at one revision; `part` is the part of the data set it belongs to."""

    repo: str
    revision: str
    name: str
    part: str
    size: int
    sha256: str

    @property
    def base(self) -> str:
        """The file's name without folders."""
        _, _, base = self.name.rpartition("/")
        return base


def data_page(repo: str) -> str:
    """The address of a data set's page."""
    return f"https://huggingface.co/datasets/{repo}"


def list_files(repo: str, pattern: str, parts: Sequence[str]) -> list[HubFile]:
    """The files of a data set's newest revision, sorted by part, then name.

    `pattern` must match a file's whole name; its first group is the file's part. Raises LabError
    where the hub cannot be asked, or has no file of a part.
    """
    from huggingface_hub import HfApi

    with _plain_faults(repo, repo):
        info = HfApi().dataset_info(repo, files_metadata=True, timeout=30)
    files = []
    for sibling in info.siblings or []:
        name = sibling.rfilename
        match = re.fullmatch(pattern, name)
        if not match or match[1] not in parts:
            continue
        stated = sibling.lfs
        if stated is None or info.sha is None or not SHA256.fullmatch(stated.sha256):
            raise LabError(
                f"the hub states no SHA-256 of {printable(name)}, so it could not be checked; "
                f"see {data_page(repo)}"
            )
        file = HubFile(repo, info.sha, name, match[1], stated.size, stated.sha256)
        files.append(file)
    present = {file.part for file in files}
    missing = [part for part in parts if part not in present]
    if missing:
        raise LabError(
            f"{repo} has no file of {', '.join(missing)} any more; see {data_page(repo)}"
        )

    def place(file: HubFile) -> tuple[int, str]:
        return parts.index(file.part), file.name

    return sorted(files, key=place)


def obtain(file: HubFile, path: Path, *, ours: bool) -> None:
    """Make `path` the hub's file: check it where it is present, else fetch or continue it.

    Only the transfer of huggingface_hub is used: its downloads start anew after an interruption (as
    of version 2.4). Raises LabError where that fails, or where `path` is another file that is not
    `ours` to replace.
    """
    if path.exists():
        if hash_file(path) == file.sha256:
            return
        if not ours:
            raise LabError(
                f"{printable(path)} is not the file of the hub; "
                "move it away or choose another folder with --out"
            )
    part = _partial(path, file)
    present = _size(part)
    if present > file.size:
        part.unlink()
        present = 0
    if present < file.size:
        _transfer(file, part, present)
    received = hash_file(part)
    if received != file.sha256:
        part.unlink()
        raise LabError(
            f"{file.name} came with SHA-256 {received[:12]}…, the hub states "
            f"{file.sha256[:12]}…; what came was deleted, run the same command again"
        )
    os.replace(part, path)


def count_present(file: HubFile, path: Path) -> int:
    """Bytes of the file that are on the disk already."""
    present = max(_size(path), _size(_partial(path, file)))
    return min(present, file.size)


def _partial(path: Path, file: HubFile) -> Path:
    """Where a file grows until it is complete."""
    return path.with_name(f".{path.name}.{file.sha256[:16]}.part")


def _transfer(file: HubFile, part: Path, present: int) -> None:
    """Append the file's bytes from `present` on."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    with _plain_faults(file.repo, file.name):
        part.parent.mkdir(parents=True, exist_ok=True)
        url = hf_hub_url(file.repo, file.name, repo_type="dataset", revision=file.revision)
        # Not compressed: ranges count the file's own bytes.
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        with part.open("ab") as stream:
            http_get(
                url,
                stream,
                resume_size=present,
                headers=headers,
                expected_size=file.size,
                displayed_filename=file.base,
            )


@contextmanager
def _plain_faults(repo: str, what: str) -> Iterator[None]:
    """Turn whatever goes wrong on the way to the hub into a LabError of one line.

    The hub library's own remarks are silent meanwhile.
    """
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    # Any exception: huggingface_hub changed the HTTP library below it, and so what is raised.
    except Exception as error:
        raise LabError(_explain(error, repo, what)) from error
    finally:
        logger.setLevel(level)


def _explain(error: Exception, repo: str, what: str) -> str:
    """Why `what` could not be fetched, and what to do."""
    from huggingface_hub import constants

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403):
        return (
            f"{what} is closed to you ({status}): it wants a login or its terms accepted, or is "
            f"gone; see {data_page(repo)}, log in with `hf auth login`, and run the same command "
            "again"
        )
    if status == 404:
        return f"{what} is not on the hub (404); see {data_page(repo)} for what became of it"
    if status is not None:
        return f"the hub answered {status} for {what}; try later: {AGAIN}"
    # What HTTP libraries raise can be an OSError too; the disk's errors come from Python itself.
    connection = isinstance(error, ConnectionError | TimeoutError)
    local = type(error).__module__ == "builtins" and not connection
    if isinstance(error, OSError) and error.errno and local:
        return (
            f"cannot write {what}: {error.strerror}; "
            f"make room or choose another folder, then {AGAIN}"
        )
    text = str(error).strip() or type(error).__name__
    reason = text.splitlines()[0]
    return (
        f"cannot get {what} from {constants.ENDPOINT}: {reason:.200}; "
        f"check the connection, then {AGAIN}"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
