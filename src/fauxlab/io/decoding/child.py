"""The process that decodes pictures which may explode: `python -m fauxlab.io.decoding.child`.

`children` starts it, sends it one request at a time, and kills it where it takes too long. It ends
when its input does, so it never outlives the process that started it for long.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from PIL import Image

from fauxlab.io.decoding.messages import Connection, bands
from fauxlab.io.decoding.opening import Opened, decoder_errors, open_frames, strip
from fauxlab.io.limits import ImageError

# Address space of this process: for itself, for a file, and for its pixels in three copies. With
# the default limit of pixels it stays below 1 GiB of memory. All formats get by with that up to the
# limit, but WebP, whose decoder takes 17 bytes a pixel, up to 60 million pixels only.
OWN_MEMORY = 2**28
FILE_COPIES = 3
PIXEL_BYTES = 13
# Seconds after which it ends by itself, should nobody have killed it.
GRACE = 5.0


class _Pictures:
    """Answers requests about one picture at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._data = b""
        self._opened: Opened | None = None

    def answer(self, request: dict[str, Any]) -> None:
        """Do what a request asks for, and send what comes out or the reason why nothing does."""
        act = getattr(self, f"do_{request['do']}")
        try:
            with decoder_errors(b""):
                act(request)
        except ImageError as error:
            self._connection.send({"error": str(error)})

    def do_open(self, request: dict[str, Any]) -> None:
        """Take a file, and say how large its picture is and how many frames it holds."""
        self._take(request)
        frames = request["frames"]
        max_pixels = request["max_pixels"]
        with decoder_errors(self._data):
            stripped = strip(self._data, frames)
            self._opened = open_frames(stripped, max_pixels, request["at_least"], frames)
        # The open picture holds the file.
        self._data = self._data[:64]
        width, height = self._opened.image.size
        self._connection.send({"width": width, "height": height, "count": self._opened.count})

    def do_frame(self, request: dict[str, Any]) -> None:
        """Send a frame: its size, then its rows."""
        if self._opened is None:
            raise ImageError("no picture is open")
        upright = self._opened.frame(request["number"], request["max_pixels"])
        if self._opened.count == 1:
            # Decoders keep copies.
            self._forget()
        width, height = upright.image.size
        self._connection.send({"width": width, "height": height})
        try:
            for top, bottom in bands(width, height):
                rows = upright.rows(top, bottom)
                self._connection.send_bytes(rows.tobytes())
        except Exception:
            # The pixels are promised. An error would be taken for some of them.
            sys.exit(1)

    def do_describe(self, request: dict[str, Any]) -> None:
        """Take a file, and say how it encodes its picture."""
        from fauxlab.io.encoding import describe_here, to_json

        self._take(request)
        with decoder_errors(self._data):
            encoding = describe_here(self._data)
        self._connection.send(to_json(encoding))

    def do_forget(self, request: dict[str, Any]) -> None:
        """Free the memory of the picture. There is no answer."""
        self._forget()

    def _take(self, request: dict[str, Any]) -> None:
        self._forget()
        _limit_memory(request["bytes"], request["max_pixels"])
        self._data = self._connection.receive_bytes(request["bytes"])

    def _forget(self) -> None:
        self._data = b""
        self._opened = None


def main() -> None:
    """Answer requests from standard input until it ends."""
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    # Libraries in C may write to standard output, too.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    # The limits are those of the requests.
    Image.MAX_IMAGE_PIXELS = None
    connection = Connection(source, sink)
    pictures = _Pictures(connection)
    connection.send({"ready": True})
    while True:
        try:
            request = connection.receive()
            _end_after(request["seconds"] + GRACE)
            pictures.answer(request)
            _end_after(0)
        except (EOFError, OSError):
            break


def _end_after(seconds: float) -> None:
    """Let the system end this process after some seconds; 0 is never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(file_bytes: int, max_pixels: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    most = OWN_MEMORY + FILE_COPIES * file_bytes + PIXEL_BYTES * max_pixels
    most = min(most, sys.maxsize)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    main()
