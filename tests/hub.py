"""A hub on loopback: repositories of small files, with the addresses and headers that the hub's client asks for."""

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What it serves, and what it was asked.

    Args:
        address: Where it listens.
    """

    def __init__(self, address):
        self.address = address
        self.repos = {}
        """Bytes by file by repository."""
        self.gated = set()
        """Repositories whose terms were not accepted."""
        self.cut = set()
        """Files whose transfer breaks off in the middle."""
        self.asked = []
        """Method and path of every request."""

    def add(self, repo, folder):
        """Serve the files of a folder."""
        self.repos[repo] = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def downloaded(self):
        """Names of the files that were sent."""
        return [path.rpartition("/")[2] for method, path in self.asked if method == "GET" and "/resolve/" in path]


class Handler(BaseHTTPRequestHandler):
    """``/REPO/resolve/main/FILE``, ``/api/models/REPO`` and ``/api/models/REPO/tree/main/FOLDER``."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def log_message(self, *_):
        pass

    def _answer(self):
        hub, path = self.server.hub, self.path.partition("?")[0].strip("/")
        hub.asked.append((self.command, f"/{path}"))
        parts = path.removeprefix("api/models/").split("/")
        repo, rest = "/".join(parts[:2]), parts[2:]
        if repo not in hub.repos:
            self._refuse(404, "RepoNotFound")
        elif path.startswith("api/"):
            self._describe(repo, rest)
        elif repo in hub.gated:
            self._refuse(403, "GatedRepo")
        elif rest[0] != "resolve" or rest[1] not in ("main", COMMIT) or rest[2] not in hub.repos[repo]:
            self._refuse(404, "EntryNotFound")
        else:
            self._send_file(hub.repos[repo][rest[2]], cut=rest[2] in hub.cut)

    def _describe(self, repo, rest):
        if rest[:1] == ["tree"]:
            self._send(json.dumps([]).encode(), {"Content-Type": "application/json"})
            return
        siblings = [{"rfilename": name} for name in self.server.hub.repos[repo]]
        told = {"id": repo, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
        self._send(json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _send_file(self, content, *, cut):
        etag = hashlib.sha256(content).hexdigest()
        self._send(content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, cut=cut)

    def _send(self, content, headers, *, cut=False):
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut

    def _refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextlib.contextmanager
def serving():
    """A hub that answers while the context lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.hub
        finally:
            server.shutdown()
            thread.join()
