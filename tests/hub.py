"""A Hub on loopback for datasets: repositories with commits and tags, large files, tokens, cuts.

Clients find it by HF_ENDPOINT; `environment` has all that they need. Everything is kept in memory.
`python -m tests.hub` serves one by hand.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN, READER = "hf_writes", "hf_reads"  # of "org": may write, may only read
LARGE = (".h5", ".parquet", ".png")  # stored by SHA-256, as Git LFS does
BLOCK = 1 << 14


@dataclass
class Repo:
    """A repository: the files of each commit, oldest first, and tags."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.commit({".gitattributes": b"*.h5 filter=lfs\n"})

    @property
    def head(self):
        return list(self.commits)[-1]

    @property
    def files(self):
        return self.commits[self.head]

    def commit(self, files):
        listed = sorted((path, sha256(data)) for path, data in files.items())
        name = hashlib.sha1(json.dumps([len(self.commits), listed]).encode()).hexdigest()
        self.commits[name] = files
        return name

    def resolve(self, revision):
        """The commit of a branch, tag or commit; None if there is none."""
        known = {"main": self.head, **self.tags, **{name: name for name in self.commits}}
        return known.get(revision)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def is_large(path):
    return path.endswith(LARGE)


def blob_id(path, data):
    """The name that git gives a file, or the pointer that stands for a large one."""
    if is_large(path):
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{sha256(data)}")
        data = "\n".join((*lines, f"size {len(data)}\n")).encode()
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


class Hub(ThreadingHTTPServer):
    """The server. `repos` may be looked into and changed at any time.

    Attributes:
        sent: bytes of large files that came in, whole or in part.
        log: (method, path) of all requests.
        on_request: called before each request is looked at; what it raises ends the connection.
        on_answer: called before each answer is sent; likewise.
    """

    daemon_threads = True

    def __init__(self, port=0):
        self.repos, self.large, self.log, self.sent = {}, {}, [], 0
        self.on_request = self.on_answer = lambda: None
        self._left = None
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def cut_after(self, n_bytes):
        """Break the connection when so many more bytes of large files have come, and all after."""
        self._left = n_bytes

    def mend(self):
        """Cut no more."""
        self._left = None

    def is_cut(self, n_bytes):
        """Count bytes that came in; whether the connection breaks on them."""
        with self.lock:
            self.sent += n_bytes
            if self._left is not None:
                self._left -= n_bytes
            return self._left is not None and self._left < 0

    def handle_error(self, request, client_address):
        """Clients that go away are no news."""


@contextmanager
def running():
    """A Hub that serves while the context lasts."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def environment(url, home, token=TOKEN):
    """Environment variables with which the client libraries talk to a Hub of ours."""
    found = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return found | ({"HF_TOKEN": token} if token else {})


def use(monkeypatch, url, home, token=TOKEN):
    """Let the client library in this process talk to a Hub of ours."""
    from huggingface_hub import constants

    names = {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in names.items():
        monkeypatch.setattr(constants, name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)


class Refused(Exception):
    """An answer that is no success: status, the Hub's code for it, words."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    routes = (
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/validate-yaml", "valid"),
        ("POST", r"/api/repos/create", "create"),
        ("GET", r"/api/datasets/([^/]+/[^/]+)(?:/revision/([^/]+))?", "info"),
        ("GET", r"/api/datasets/([^/]+/[^/]+)/refs", "refs"),
        ("GET", r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", "tree"),
        ("POST", r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)", "paths_info"),
        ("POST", r"/api/datasets/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/api/datasets/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/api/datasets/([^/]+/[^/]+)/tag/([^/]+)", "tag"),
        ("POST", r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/large/([0-9a-f]{64})", "put"),
        ("GET", r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "file"),
    )

    def log_message(self, *words):
        """Say nothing."""

    def answer(self):
        """Find who answers a request, and send what they say."""
        address = urlsplit(self.path)
        path, self.query = unquote(address.path), parse_qs(address.query)
        self.server.log.append((self.command, path))
        self.server.on_request()
        method = "GET" if self.command == "HEAD" else self.command
        try:
            for wanted, pattern, name in self.routes:
                match = re.fullmatch(pattern, path)
                if match and wanted == method:
                    getattr(self, name)(*match.groups())
                    return
            self.body()
            raise Refused(404, "EntryNotFound", f"nothing at {path}")
        except Refused as refused:
            status, code, words = refused.args
            headers = {"X-Error-Code": code, "X-Error-Message": words}
            self.send(status, {"error": words}, **headers)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def send(self, status, content, **headers):
        """Send bytes, or plain data as JSON."""
        self.server.on_answer()
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        self.send_response(status)
        usual = {"Content-Type": kind, "Content-Length": str(len(data))}
        for name, value in {**usual, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def body(self):
        """The whole body of a request."""
        return b"".join(self.blocks())

    def blocks(self):
        """The body of a request as it comes."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (block := self.rfile.read(min(left, BLOCK))):
            left -= len(block)
            yield block

    def token(self):
        """The token that came along, if any; it must be one of ours."""
        words = self.headers.get("Authorization", "").split()
        if words and words[-1] not in (TOKEN, READER):
            raise Refused(401, "", "Invalid credentials in Authorization header")
        return words[-1] if words else None

    def writer(self, repo_id):
        """Refuse whoever may not write."""
        if self.token() != TOKEN or not repo_id.startswith("org/"):
            raise Refused(403, "", f"You may not write to {repo_id}")

    def repo(self, repo_id, revision="main"):
        """A repository that may be read, and the commit of a revision."""
        token, repo = self.token(), self.server.repos.get(repo_id)
        if repo is None or (repo.private and token is None):
            raise Refused(404 if token else 401, "RepoNotFound", "Repository not found")
        commit = repo.resolve(revision)
        if commit is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repo, commit

    def whoami(self):
        if self.token() is None:
            raise Refused(401, "", "Invalid username or password.")
        role = "write" if self.token() == TOKEN else "read"
        self.send(200, {"type": "user", "name": "org", "auth": {"accessToken": {"role": role}}})

    def valid(self):
        self.body()
        self.send(200, {"errors": [], "warnings": []})

    def create(self):
        asked = json.loads(self.body())
        repo_id = f"{asked['organization']}/{asked['name']}"
        self.writer(repo_id)
        if repo_id in self.server.repos:
            raise Refused(409, "", "You already created this dataset repo")
        self.server.repos[repo_id] = Repo(private=asked.get("visibility") == "private")
        self.send(200, {"url": f"{self.server.url}/datasets/{repo_id}", "name": repo_id})

    def info(self, repo_id, revision):
        repo, commit = self.repo(repo_id, revision or "main")
        self.send(
            200,
            {
                "id": repo_id,
                "sha": commit,
                "private": repo.private,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": [{"rfilename": path} for path in sorted(repo.commits[commit])],
            },
        )

    def refs(self, repo_id):
        repo, _ = self.repo(repo_id)

        def listed(names, kind):
            return [
                {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}
                for name, commit in names.items()
            ]

        branches = listed({"main": repo.head}, "heads")
        tags = listed(repo.tags, "tags")
        self.send(200, {"branches": branches, "tags": tags, "converts": []})

    def tree(self, repo_id, revision, folder):
        repo, commit = self.repo(repo_id, revision)
        files = repo.commits[commit]
        head = f"{folder}/" if folder else ""
        inside = [path for path in sorted(files) if path.startswith(head)]
        if folder and not inside:
            raise Refused(404, "EntryNotFound", f"{folder} does not exist")
        if self.query.get("recursive", ["false"])[0].lower() != "true":
            tops = {path[len(head) :].split("/")[0] for path in inside}
            found = [self.entry(files, head + top) for top in sorted(tops)]
        else:
            parents = {path[:at] for path in inside for at in _slashes(path) if at > len(head)}
            found = [self.entry(files, path) for path in (*sorted(parents), *inside)]
        self.send(200, found)

    def paths_info(self, repo_id, revision):
        body = self.body().decode()
        is_json = self.headers.get("Content-Type", "").startswith("application/json")
        paths = json.loads(body)["paths"] if is_json else parse_qs(body)["paths"]
        repo, commit = self.repo(repo_id, revision)
        files = repo.commits[commit]
        tops = {path[:at] for path in files for at in _slashes(path)}
        self.send(200, [self.entry(files, path) for path in paths if path in tops.union(files)])

    @staticmethod
    def entry(files, path):
        """A file or folder as the tree lists it."""
        if path not in files:
            return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
        data = files[path]
        found = {"type": "file", "path": path, "size": len(data), "oid": blob_id(path, data)}
        large = {"oid": sha256(data), "size": len(data), "pointerSize": 130}
        return found | ({"lfs": large} if is_large(path) else {})

    def preupload(self, repo_id, revision):
        asked = json.loads(self.body())["files"]
        self.writer(repo_id)
        repo, _ = self.repo(repo_id, revision)
        found = []
        for file in asked:
            path, there = file["path"], repo.files.get(file["path"])
            mode = "lfs" if is_large(path) else "regular"
            name = sha256 if is_large(path) else (lambda data, path=path: blob_id(path, data))
            oid = None if there is None else name(there)
            found.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.send(200, {"files": found})

    def batch(self, repo_id):
        asked = json.loads(self.body())["objects"]
        self.writer(repo_id)
        for large in asked:
            if large["oid"] not in self.server.large:
                href = f"{self.server.url}/large/{large['oid']}"
                large["actions"] = {"upload": {"href": href}}
        self.send(200, {"transfer": "basic", "objects": asked})

    def put(self, oid):
        """Take a large file in; the cut falls here."""
        data = b""
        for block in self.blocks():
            if self.server.is_cut(len(block)):
                self.close_connection = True
                self.connection.close()
                return
            data += block
        if sha256(data) != oid:
            raise Refused(400, "", "that is another file")
        self.server.large[oid] = data
        self.send(200, {})

    def commit(self, repo_id, revision):
        lines = [json.loads(line) for line in self.body().splitlines()]
        self.writer(repo_id)
        repo, _ = self.repo(repo_id, revision)
        files = dict(repo.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit", repo.head) != repo.head:
                raise Refused(412, "", "A commit has happened since")
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        name = repo.commit(files)
        url = f"{self.server.url}/datasets/{repo_id}/commit/{name}"
        self.send(200, {"success": True, "commitOid": name, "commitUrl": url})

    def tag(self, repo_id, revision):
        asked = json.loads(self.body())
        self.writer(repo_id)
        repo, commit = self.repo(repo_id, revision)
        if asked["tag"] in repo.tags:
            raise Refused(409, "", "Tag reference exists already")
        repo.tags[asked["tag"]] = commit
        self.send(200, {})

    def file(self, repo_id, revision, path):
        """A file, or a range of it."""
        repo, commit = self.repo(repo_id, revision)
        data = repo.commits[commit].get(path)
        if data is None:
            raise Refused(404, "EntryNotFound", f"{path} does not exist")
        tag = sha256(data) if is_large(path) else blob_id(path, data)
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or self.command == "HEAD":
            self.send(200, data, **headers)
            return
        first = int(asked[1])
        last = min(int(asked[2] or len(data)), len(data) - 1)
        span = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        self.send(206, data[first : last + 1], **headers, **span)


def _slashes(path):
    """Where a path could end in one of its folders."""
    return [at for at, letter in enumerate(path) if letter == "/"]


if __name__ == "__main__":
    with running() as served:
        print("\n".join(f"export {k}={v}" for k, v in environment(served.url, "hf-home").items()))
        threading.Event().wait()
