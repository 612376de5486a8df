"""A hub on this machine: a server that speaks huggingface_hub's protocol, and repositories as awkward as the real ones.

``FakeHub(folder)`` serves ``folder/datasets/OWNER/NAME/…`` and ``folder/models/OWNER/NAME/…``; a process that runs with
its ``environment()`` finds data sets and models there and nothing else. The protocol is that of huggingface_hub 1.33's
client (``hf_api``, ``file_download``, ``utils/_http``): repository information, listings in pages, a redirect for what
git-lfs holds, and the hub's own error codes. A repository's other revisions lie in ``NAME@REVISION``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from hub_repositories import write_awkward_hub

__all__ = ["FakeHub", "write_awkward_hub"]

GIT_SUFFIXES = {".json", ".jsonl", ".md", ".txt", ".py", ".jinja", ""}  # the rest is git-lfs's
# Of ours in a repository's folder, and no files of it: what its commit is, and that it is gated (by being there).
MARKERS = {".commit", ".gated"}
PAGE = 50  # entries of a listing's page; the hub's own is larger, and a user of the listing must not care


class HubError(Exception):
    """An answer other than a success: ``(status, the hub's error code, message)``."""

    def __init__(self, status: int, code: str, message: str, commit: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.commit = status, code, message, commit


class Repository:
    """One revision of a repository, as a folder."""

    def __init__(self, kind: str, name: str, folder: Path) -> None:
        self.kind, self.name, self.folder = kind, name, folder
        self.gated = (folder / ".gated").exists()

    def files(self) -> dict[str, Path]:
        found = sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name not in MARKERS)
        return {path.relative_to(self.folder).as_posix(): path for path in found}

    def entry(self, name: str, path: Path) -> dict[str, Any]:
        """A file as the hub's listing has it."""
        size, sha1, sha256 = hashes(path)
        entry: dict[str, Any] = {"type": "file", "oid": sha1, "size": size, "path": name}
        if path.suffix not in GIT_SUFFIXES:
            entry["lfs"] = {"oid": sha256, "size": size, "pointerSize": 134}
        return entry

    @property
    def commit(self) -> str:
        """40 hex digits: what ``.commit`` says, else a hash of the content."""
        known = self.folder / ".commit"
        if known.exists():
            return known.read_text().strip()
        listing = [(name, hashes(path)[1]) for name, path in self.files().items()]
        return hashlib.sha1(json.dumps([self.kind, self.name, listing]).encode()).hexdigest()


_HASHES: dict[tuple[str, int, int], tuple[int, str, str]] = {}


def hashes(path: Path) -> tuple[int, str, str]:
    """Size, git's name of the content, and sha256."""
    known = path.stat()
    key = (str(path), known.st_mtime_ns, known.st_size)
    if key not in _HASHES:
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        _HASHES[key] = (len(content), blob, hashlib.sha256(content).hexdigest())
    return _HASHES[key]


class FakeHub:
    """The server; ``with FakeHub(folder) as hub:`` or ``start`` and ``close``.

    Attributes:
        url: for ``HF_ENDPOINT``; loopback only.
        requests: what was asked for so far, as ``"METHOD /path"``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub._answer(self)

            def do_HEAD(self) -> None:
                hub._answer(self)

            def do_POST(self) -> None:
                hub._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> FakeHub:
        self._thread.start()
        return self

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FakeHub:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs to use this hub: huggingface_hub reads it when it is imported.

        Args:
            home: an empty folder for the process's cache.
        """
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def repository(self, kind: str, name: str, revision: str = "main") -> Repository:
        """A repository's revision: ``main``, a commit, or what a ``NAME@REVISION`` folder holds."""
        current = self.folder / kind / name
        if not current.is_dir():
            # What the hub says to those without a token, whether the repository is private or absent.
            raise HubError(401, "RepoNotFound", "Invalid username or password.")
        if revision in ("main", "HEAD", Repository(kind, name, current).commit):
            return Repository(kind, name, current)
        other = current.with_name(f"{current.name}@{revision}")
        if not other.is_dir():
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return Repository(kind, name, other)

    def push(self, kind: str, name: str, files: dict[str, bytes]) -> str:
        """Change files of a repository, the old revision staying there under its commit; returns the new commit."""
        current = self.folder / kind / name
        if current.is_dir():
            old = current.with_name(f"{current.name}@{Repository(kind, name, current).commit}")
            shutil.copytree(current, old, dirs_exist_ok=True)
        (current / ".commit").unlink(missing_ok=True)
        for file, content in files.items():
            (current / file).parent.mkdir(parents=True, exist_ok=True)
            (current / file).write_bytes(content)
        return Repository(kind, name, current).commit

    # --- answering ----------------------------------------------------------------------------------------------------

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        address = urlsplit(request.path)
        self.requests.append(f"{request.command} {unquote(address.path)}")
        try:
            self._route(request, address.path.split("/")[1:], parse_qs(address.query), body)
        except HubError as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": error.message}
            if error.commit:
                headers["X-Repo-Commit"] = error.commit
            _send(request, error.status, headers, json.dumps({"error": error.message}).encode())

    def _route(
        self, request: BaseHTTPRequestHandler, parts: list[str], query: dict[str, list[str]], body: bytes
    ) -> None:
        match parts:
            case ["api", ("datasets" | "models") as kind, owner, name]:
                _send_json(request, _information(self.repository(kind, f"{owner}/{name}")))
            case ["api", ("datasets" | "models") as kind, owner, name, "revision", revision]:
                _send_json(request, _information(self.repository(kind, f"{owner}/{name}", unquote(revision))))
            case ["api", ("datasets" | "models") as kind, owner, name, "auth-check"]:
                _refuse_gated(self.repository(kind, f"{owner}/{name}"), request)
                _send_json(request, {})
            case ["api", ("datasets" | "models") as kind, owner, name, "tree", revision, *under]:
                found = self.repository(kind, f"{owner}/{name}", unquote(revision))
                self._send_tree(request, found, unquote("/".join(under)), query)
            case ["api", ("datasets" | "models") as kind, owner, name, "paths-info", revision]:
                found = self.repository(kind, f"{owner}/{name}", unquote(revision))
                wanted = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
                files = found.files()
                _send_json(request, [found.entry(path, files[path]) for path in wanted if path in files])
            case ["datasets", owner, name, "resolve", revision, *path]:
                self._send_file(request, self.repository("datasets", f"{owner}/{name}", unquote(revision)), path)
            case ["cdn", kind, owner, name, revision, *path]:
                folder = self.repository(kind, f"{owner}/{name}", unquote(revision)).folder
                _send_content(request, {}, folder / unquote("/".join(path)))
            case [owner, name, "resolve", revision, *path]:
                self._send_file(request, self.repository("models", f"{owner}/{name}", unquote(revision)), path)
            case _:
                raise HubError(404, "", "Sorry, we can't find the page you are looking for.")

    def _send_tree(
        self, request: BaseHTTPRequestHandler, found: Repository, under: str, query: dict[str, list[str]]
    ) -> None:
        entries: dict[str, dict[str, Any]] = {}
        inside = f"{under}/" if under else ""
        for name, path in found.files().items():
            if not name.startswith(inside):
                continue
            parents = name.removeprefix(inside).split("/")[:-1]
            deep = query.get("recursive", ["false"])[0] in ("true", "True", "1")
            for depth in range(1, (len(parents) if deep else min(1, len(parents))) + 1):
                folder = inside + "/".join(parents[:depth])
                oid = hashlib.sha1(folder.encode()).hexdigest()
                entries.setdefault(folder, {"type": "directory", "oid": oid, "size": 0, "path": folder})
            if deep or not parents:
                entries[name] = found.entry(name, path)
        if under and not entries:
            raise HubError(404, "EntryNotFound", f"{under} does not exist on {found.commit}", found.commit)
        start = int(query.get("cursor", ["0"])[0])
        headers = {}
        if start + PAGE < len(entries):
            again = "&".join(f"{key}={quote(values[0])}" for key, values in query.items() if key != "cursor")
            path = urlsplit(request.path).path
            headers["Link"] = f'<{self.url}{path}?{again}&cursor={start + PAGE}>; rel="next"'
        _send_json(request, list(entries.values())[start : start + PAGE], headers)

    def _send_file(self, request: BaseHTTPRequestHandler, found: Repository, parts: list[str]) -> None:
        _refuse_gated(found, request)
        name = unquote("/".join(parts))
        path = found.files().get(name)
        if path is None:
            raise HubError(404, "EntryNotFound", "Entry not found", found.commit)
        entry = found.entry(name, path)
        headers = {"X-Repo-Commit": found.commit, "ETag": f'"{entry["oid"]}"'}
        if "lfs" not in entry:
            _send_content(request, headers, path)
            return
        headers["X-Linked-Size"] = str(entry["size"])
        headers["X-Linked-Etag"] = f'"{entry["lfs"]["oid"]}"'
        # The hub's content network is another host, and by that the client knows that this answer is the last of the
        # hub's own: its headers count. Here it is this host by another name.
        content = self.url.replace("127.0.0.1", "localhost")
        headers["Location"] = f"{content}/cdn/{found.kind}/{found.name}/{found.commit}/{quote(name)}"
        _send(request, 302, headers, b"")


def _refuse_gated(found: Repository, request: BaseHTTPRequestHandler) -> None:
    """A gated repository is listed for all, but its files are for those who have been admitted."""
    if found.gated:
        status = 403 if request.headers.get("Authorization") else 401
        message = f"Access to {found.kind.removesuffix('s')} {found.name} is restricted."
        raise HubError(status, "GatedRepo", message, found.commit)


def _information(found: Repository) -> dict[str, Any]:
    return {
        "_id": found.commit[:24],
        "id": found.name,
        "author": found.name.split("/")[0],
        "sha": found.commit,
        "lastModified": "2025-01-01T00:00:00.000Z",
        "createdAt": "2025-01-01T00:00:00.000Z",
        "private": False,
        "gated": "auto" if found.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": name} for name in found.files()],
        "usedStorage": 0,
    }


def _send_json(request: BaseHTTPRequestHandler, value: Any, headers: dict[str, str] | None = None) -> None:
    _send(request, 200, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())


def _send_content(request: BaseHTTPRequestHandler, headers: dict[str, str], path: Path) -> None:
    size = path.stat().st_size
    start = 0
    asked = request.headers.get("Range")
    if asked:  # "bytes=START-": how the client goes on after a broken download
        start = int(asked.removeprefix("bytes=").split("-")[0])
        headers = {**headers, "Content-Range": f"bytes {start}-{size - 1}/{size}"}
    request.send_response(206 if asked else 200)
    for name, value in {**headers, "Accept-Ranges": "bytes", "Content-Length": str(size - start)}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        with path.open("rb") as stream:
            stream.seek(start)
            shutil.copyfileobj(stream, request.wfile)


def _send(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
