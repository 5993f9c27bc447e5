"""A server that speaks as much of the protocol of the Hugging Face Hub as huggingface_hub needs to list and download.

    with HubServer() as hub:
        commit = hub.add("user/name", {"config.json": b"{}", "model.safetensors": data})
        hub.url         what HF_ENDPOINT has to be
        hub.requests    what was asked for so far: ("GET", "/api/models/user/name"), ...
        hub.fetched()   the names of the files whose contents were sent

What it answers, as seen from huggingface_hub 0.36 and 2.4:

    GET  /api/models/ID                 JSON: "id", the commit as "sha", the files as "siblings": [{"rfilename": NAME}, ...]
    GET  /api/models/ID/revision/REV    the same of a branch, a tag or a commit
    HEAD /ID/resolve/REV/NAME           headers: X-Repo-Commit, ETag (the hash of the contents), Content-Length. Of a large
                                        file (LARGE) a redirect (302) to /cdn/HASH, with X-Linked-Etag and X-Linked-Size
    GET  /ID/resolve/REV/NAME, /cdn/HASH  the contents; of a Range: bytes=BEGIN- what is left, by 206
    an error                            X-Error-Code RepoNotFound, RevisionNotFound, EntryNotFound or GatedRepo, and
                                        X-Error-Message

A missing repository and a private one are 401 without a token and 404 with a wrong one. Of a gated repository anyone
sees the list, and only TOKEN gets files. Anything else is 404.
"""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_good"
LARGE = (".safetensors", ".bin", ".h5")
Files = dict[str, bytes]


class Refused(Exception):
    """An answer that is an error: status, X-Error-Code, X-Error-Message."""


@dataclass
class Repository:
    """A repository: its commits, the commit of each branch and tag, and who may read it."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)


class HubServer(ThreadingHTTPServer):
    """The server, in a thread of this process, at a free port of this machine.

    cut       by the name of a file how many bytes of it are sent in all before every connection is closed
    status    an HTTP status that is the answer to everything, with the contents `page`; None for none
    on_fetch  called with the name of a file before it is sent, None for nothing
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.sent: list[str] = []
        self.cut: dict[str, int] = {}
        self.status: int | None = None
        self.page = b""
        self.on_fetch: Any = None
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def storage(self) -> str:
        """The address of large files: of another host, as on the hub, which therefore gets no token."""
        return f"http://localhost:{self.server_address[1]}"

    def __enter__(self) -> "HubServer":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """From now on nothing answers at this address."""
        if self.thread.is_alive():
            self.shutdown()
            self.server_close()
            self.thread.join()

    def add(self, name: str, files: Files, ref: str = "main", private: bool = False, gated: bool = False) -> str:
        """A new commit of a repository, which becomes that of a branch or tag; the repository is made if need be."""
        repository = self.repositories.setdefault(name, Repository(private, gated))
        content = repr((name, len(repository.commits), sorted(files.items()))).encode()
        commit = hashlib.sha1(content).hexdigest()
        repository.commits[commit] = dict(files)
        repository.refs[ref] = commit
        return commit

    def fetched(self) -> list[str]:
        """The names of the files that were sent, whole or in part, in order; each once."""
        return list(dict.fromkeys(self.sent))

    def forget(self) -> None:
        """Clear the log."""
        self.requests.clear()
        self.sent.clear()

    def blob(self, digest: str) -> tuple[str, bytes]:
        """The name and the contents of a large file."""
        for repository in self.repositories.values():
            for files in repository.commits.values():
                for name, content in files.items():
                    if hash_of(content) == digest:
                        return name, content
        raise Refused(404, "", "no such blob")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes its connection is no error."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append((self.command, unquote(path)))
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if self.server.status is not None:
            return self.send(self.server.status, {}, self.server.page)
        try:
            self.route(parts)
        except Refused as refused:
            status, code, message = refused.args
            headers = {"X-Error-Code": code, "X-Error-Message": message}
            self.send(status, {name: value for name, value in headers.items() if value})

    def route(self, parts: list[str]) -> None:
        if parts[0] == "cdn" and len(parts) == 2:
            if self.token():
                raise Refused(400, "", "the token was given away")
            self.send_file(*self.server.blob(parts[1]))
        elif parts[:2] == ["api", "models"]:
            name, revision = parts[2:], "main"
            if len(name) > 2 and name[-2] == "revision":
                name, revision = name[:-2], name[-1]
            self.send_list("/".join(name), revision)
        elif "resolve" in parts[1:3]:
            at = parts.index("resolve", 1)
            self.send_resolved("/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2 :]))
        else:
            raise Refused(404, "", "not spoken here")

    def send_list(self, name: str, revision: str) -> None:
        repository = self.repository(name)
        commit = self.commit(repository, revision)
        siblings = [{"rfilename": file} for file in sorted(repository.commits[commit])]
        fields = {"private": repository.private, "gated": "manual" if repository.gated else False, "tags": [], "likes": 0}
        content = {"_id": commit[:24], "id": name, "modelId": name, "sha": commit, "siblings": siblings, "downloads": 0, **fields}
        self.send(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def send_resolved(self, name: str, revision: str, file: str) -> None:
        repository = self.repository(name)
        if repository.gated and not self.trusted():
            raise Refused(403 if self.token() else 401, "GatedRepo", "Access to this model is restricted.")
        commit = self.commit(repository, revision)
        if file not in repository.commits[commit]:
            raise Refused(404, "EntryNotFound", "Entry not found")
        content = repository.commits[commit][file]
        headers = {"X-Repo-Commit": commit}
        if not file.endswith(LARGE):
            return self.send_file(file, content, headers)
        headers |= {"X-Linked-Etag": f'"{hash_of(content)}"', "X-Linked-Size": str(len(content))}
        self.send(302, headers | {"Location": f"{self.server.storage}/cdn/{hash_of(content)}"})

    def send_file(self, name: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        """A file, or what is left of it after the first byte that is asked for; cut off if it must be."""
        if self.command == "GET":
            self.server.sent.append(name)
            if self.server.on_fetch is not None:
                self.server.on_fetch(name)
        begin = self.first_byte()
        headers = {"ETag": f'"{hash_of(content)}"', "Accept-Ranges": "bytes"} | (headers or {})
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        cut = self.server.cut.get(name)
        self.send(206 if begin else 200, headers, content[begin:], None if cut is None else max(0, cut - begin))

    def send(self, status: int, headers: dict[str, str], content: bytes = b"", cut: int | None = None) -> None:
        """Status, headers and contents; of these only the first `cut` bytes. Then the connection is closed."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[:cut])

    def repository(self, name: str) -> Repository:
        found = self.server.repositories.get(name)
        if self.token() and not self.trusted():
            raise Refused(401, "", "Invalid credentials in Authorization header")
        if found is None or (found.private and not self.trusted()):
            raise Refused(404 if self.token() else 401, "RepoNotFound", "Repository not found")
        return found

    def commit(self, repository: Repository, revision: str) -> str:
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            raise Refused(404, "RevisionNotFound", "Invalid rev id")
        return commit

    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def trusted(self) -> bool:
        return self.token() == TOKEN

    def first_byte(self) -> int:
        """The first byte that a header "Range: bytes=BEGIN-" asks for."""
        value = self.headers.get("Range", "bytes=0-")
        return int(value.removeprefix("bytes=").partition("-")[0])


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
