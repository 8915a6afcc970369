"""A publisher on loopback: plain files with ranges, and as much of the Hugging Face hub's HTTP API as fetching asks."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "1" * 40


@dataclass
class Publisher:
    """What is served, by path, how badly, and what was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Path -> content; of the hub ``REPOSITORY/resolve/REVISION/NAME``."""
    stall_after: int | None = None
    """Bytes of each answer after which nothing more comes."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Path -> URL that it is redirected to."""
    declared: dict[str, int] = field(default_factory=dict)
    """Path -> length that is stated, whatever the content's is."""
    wait_for: threading.Barrier | None = None
    """Transfers that must be under way at once before any of them is served."""
    sent: dict[str, int] = field(default_factory=dict)
    """Path -> bytes of content that left, over all requests."""
    ranges: list[str] = field(default_factory=list)
    """What was asked for by Range, in order."""
    url: str = ""

    def clear(self) -> None:
        self.stall_after = None
        self.sent.clear()
        self.ranges.clear()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def serve() -> Iterator[Publisher]:
    publisher, counting = Publisher(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(content_too=False)

        def do_GET(self) -> None:
            self._answer(content_too=True)

        def _answer(self, *, content_too: bool) -> None:
            path = self.path.lstrip("/")
            if path in publisher.elsewhere:
                self.send_response(302)
                self.send_header("Location", publisher.elsewhere[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if path not in publisher.files:
                body = b"no such file"
                self.send_response(404)
                if "/resolve/" in path:
                    self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if content_too else b"")
                return
            content = publisher.files[path]
            start = int(found[1]) if (found := re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
            if found and content_too:
                publisher.ranges.append(self.headers["Range"])
            length = publisher.declared.get(path, len(content))
            self.send_response(206 if found else 200)
            if found:
                self.send_header("Content-Range", f"bytes {start}-{length - 1}/{length}")
            if "/resolve/" in path:
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{sha256(content)}"')
            self.send_header("Content-Length", str(length - start))
            self.end_headers()
            if content_too:
                if publisher.wait_for:
                    publisher.wait_for.wait(timeout=60)
                self._send(path, content[start:])

        def _send(self, path: str, content: bytes) -> None:
            part = content[: publisher.stall_after]
            self.wfile.write(part)
            self.wfile.flush()
            with counting:
                publisher.sent[path] = publisher.sent.get(path, 0) + len(part)
            while len(part) < len(content) and publisher.stall_after is not None:
                time.sleep(0.05)
            self.close_connection = len(part) < len(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    publisher.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield publisher
    finally:
        publisher.stall_after = None
        server.shutdown()
        server.server_close()
