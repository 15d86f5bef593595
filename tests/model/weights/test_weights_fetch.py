"""`python -m model.weights fetch` against a local server with and without ranges."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model.errors import CheckpointError
from model.sizes import SIZES, Size
from model.weights.__main__ import main
from model.weights.fetch import fetch

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several blocks


class Server(ThreadingHTTPServer):
    """Serves CONTENT at /file. Attributes say how it misbehaves; `ranges` records requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.knows_ranges = True
        self.break_after: int | None = None
        self.content = CONTENT
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path != "/file":
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.knows_ranges else 0
        if start >= len(self.server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.end_headers()
        self.wfile.write(self.server.content[start : self.server.break_after])

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def row(server: Server) -> Size:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return replace(SIZES["sam_vit_b"], url=server.url, filename="file.pth", sha256=digest)


def test_fetch_brings_the_file_and_reports_progress(server: Server, row: Size, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(row, tmp_path / "new", progress=lambda have, total: seen.append((have, total)))
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file.pth"]
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 2
    assert fetch(row, tmp_path / "new") == path
    assert server.ranges == [None], "a verified file is not fetched again"


def test_a_broken_transfer_goes_on_where_it_stopped(server: Server, row: Size, tmp_path: Path) -> None:
    server.break_after = 3_000_000
    with pytest.raises(CheckpointError, match="run again to go on"):
        fetch(row, tmp_path)
    assert (tmp_path / "file.pth.part").stat().st_size == 3_000_000
    server.break_after = None
    assert fetch(row, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=3000000-"]


def test_a_server_without_ranges_starts_over(server: Server, row: Size, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").write_bytes(b"x" * 1000)
    server.knows_ranges = False
    assert fetch(row, tmp_path).read_bytes() == CONTENT


def test_a_complete_part_is_taken(server: Server, row: Size, tmp_path: Path) -> None:
    (tmp_path / "file.pth.part").write_bytes(CONTENT)
    assert fetch(row, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_another_file_is_not_kept(server: Server, row: Size, tmp_path: Path) -> None:
    server.content = b"something else"
    with pytest.raises(CheckpointError, match="not kept"):
        fetch(row, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unreachable_and_missing_addresses_are_named(row: Size, tmp_path: Path, server: Server) -> None:
    with pytest.raises(CheckpointError, match="404"):
        fetch(replace(row, url=server.url + "-not"), tmp_path)
    with pytest.raises(CheckpointError, match=r"127\.0\.0\.1:1/"):
        fetch(row, tmp_path, url="http://127.0.0.1:1/file")
    with pytest.raises(CheckpointError, match="not published"):
        fetch(SIZES["sam_tiny"], tmp_path)


def test_two_that_share_a_folder_download_once(server: Server, row: Size, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pods:
        paths = list(pods.map(lambda _: fetch(row, tmp_path), range(4)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert server.ranges == [None]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pth"]


def test_command_line(
    server: Server, row: Size, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("model.weights.__main__.size", lambda _: row)
    monkeypatch.setenv("MASKWORKS_CACHE", str(tmp_path))
    main(["fetch", "sam_vit_b"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "file.pth")
    (tmp_path / "file.pth").write_bytes(b"")
    server.content = b"other"
    with pytest.raises(SystemExit, match="not kept"):
        main(["fetch", "sam_vit_b"])
    monkeypatch.undo()
    with pytest.raises(SystemExit, match="no model is called"):
        main(["fetch", "sam_vit_b,nothing"])
    with pytest.raises(SystemExit):
        main(["fetch", "sam_vit_b,sam_vit_l", "--url", server.url])
    main(["fetch", "hf:facebook/sam2.1-hiera-large"])
    assert "a worker gets it from the hub" in capsys.readouterr().err
    main(["list"])
    assert "Apache-2.0" in capsys.readouterr().out


def test_nothing_is_fetched_for_a_bundled_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fetch", "sam_tiny", "--cache", str(tmp_path)])
    assert capsys.readouterr().out.strip().endswith("sam_tiny.safetensors")
    assert list(tmp_path.iterdir()) == []
