"""Shards of the prepared sets that tests share, and an object store on the loopback that hands them out."""

import contextlib
import functools
import re
import shutil
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from data_modules.mammography.shards.writer import write_shards
from tests.data_modules.mammography.prepared_trees import pristine, the_set

SHARD_BYTES = 20_000
"""Eighteen images of the trees."""
BUCKET = "bucket"


@functools.cache
def drawn(name):
    folder = tempfile.TemporaryDirectory(prefix="shards-")
    root = Path(folder.name, name)
    write_shards(the_set(name), pristine(name), root, shard_bytes=SHARD_BYTES, workers=2)
    return folder, root


def pristine_shards(name):
    """Shards that no test writes to; they live as long as the process."""
    return drawn(name)[1]


def copy_of_shards(name, root):
    return Path(shutil.copytree(pristine_shards(name), root))


def shard_files(root):
    return sorted(root.glob("shard-*.bin"))


class Handler(BaseHTTPRequestHandler):
    """The part of S3 that hands out objects, whole or in ranges; whoever asks, may."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        path = self.path.split("?")[0].removeprefix(f"/{BUCKET}/")
        asked = self.headers.get("Range")
        self.server.asked.append((self.command, path, asked))
        file = self.server.root / path
        if not file.is_file():
            self.answer(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>")
            return
        content = file.read_bytes()
        if asked is None:
            self.answer(200, content)
            return
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())
        part = content[first : last + 1]
        self.answer(206, part, **{"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}"})

    do_HEAD = do_GET

    def answer(self, status, content, **headers):
        self.send_response(status)
        known = {"Content-Length": len(content), "ETag": '"tag"', "Last-Modified": "Sun, 01 Nov 2026 09:00:00 GMT"}
        for name, value in {**known, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args):
        """Say nothing; ``server.asked`` keeps what was asked for."""


@contextlib.contextmanager
def object_store(root, monkeypatch, cache):
    """Serve a folder as a bucket, and point this process and those that it starts to it.

    Yields the server, whose ``asked`` lists method, object and range of every request.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.root, server.asked = Path(root), []
    server.daemon_threads = True
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("LITDATA_CACHE_DIR", str(cache))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
