"""Downloading, against a real server on the loopback interface that can be told to misbehave."""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from paddle_rsseg.cli.main import main
from paddle_rsseg.data.download import RemoteFile, Table, download, load_table, table_names
from paddle_rsseg.errors import RssegError

CONTENT = {
    "Tile 1/images/a.jpg": bytes(range(256)) * 1500,
    "Tile 1/masks/a.png": b"mask" * 900,
    "classes.json": b"{}",
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        path = unquote(self.path).removeprefix("/set of images/")
        asked = self.headers.get("Range")
        server.requests.append((path, asked))
        body = server.content.get(path)
        if body is None:
            self.send_error(404)
            return
        if server.busy.get(path, 0):
            server.busy[path] -= 1
            self.send_error(503)
            return
        start = 0
        if asked and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        if server.cuts.get(path, 0):
            server.cuts[path] -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True  # promised more than was sent
            return
        self.wfile.write(rest)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.requests = dict(CONTENT), []
    server.busy, server.cuts, server.ranges = {}, {}, True
    server.url = f"http://127.0.0.1:{server.server_port}/set of images"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def table(*bases: str) -> Table:
    files = tuple(RemoteFile(p, len(b), hashlib.sha256(b).hexdigest()) for p, b in CONTENT.items())
    return Table("small", "A title", "CC0", "Somebody", "https://example.org", bases, (), files)


def files_in(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_fetches_all_then_keeps_what_is_right(server, tmp_path):
    seen = []
    report = download(table(server.url), tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert files_in(tmp_path) == CONTENT
    assert sorted(report.fetched) == sorted(CONTENT)
    total = sum(map(len, CONTENT.values()))
    assert max(seen) == (total, total)

    (tmp_path / "classes.json").write_bytes(b"[]")  # same size, other content
    server.requests.clear()
    report = download(table(server.url), tmp_path)
    assert report.fetched == ["classes.json"]
    assert [path for path, _ in server.requests] == ["classes.json"]
    assert files_in(tmp_path) == CONTENT


def test_broken_transfer_goes_on_where_it_broke_off(server, tmp_path):
    path = "Tile 1/images/a.jpg"
    server.cuts[path] = 1
    download(table(server.url), tmp_path)
    assert files_in(tmp_path) == CONTENT
    assert [asked for name, asked in server.requests if name == path] == [None, f"bytes={len(CONTENT[path]) // 2}-"]


def test_next_run_continues_and_a_server_without_ranges_is_no_harm(server, tmp_path):
    path = "Tile 1/images/a.jpg"
    server.cuts[path] = 1
    with pytest.raises(RssegError, match=r"broke off.*put the file to"):
        download(table(server.url), tmp_path, tries=1)
    assert not (tmp_path / path).exists()
    assert (tmp_path / "Tile 1/images/.a.jpg.part").stat().st_size == len(CONTENT[path]) // 2
    server.ranges = False
    download(table(server.url), tmp_path)
    assert files_in(tmp_path) == CONTENT


def test_bad_beginning_from_an_earlier_run_is_thrown_away(server, tmp_path):
    part = tmp_path / "Tile 1/images/.a.jpg.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    download(table(server.url), tmp_path)
    assert files_in(tmp_path) == CONTENT


@pytest.mark.parametrize("served", [b"[]", b"[]  and more", b""])
def test_other_content_is_refused_and_leaves_nothing(server, tmp_path, served):
    server.content["classes.json"] = served
    with pytest.raises(RssegError, match=r"classes\.json: .*expected 2 bytes with sha256"):
        download(table(server.url), tmp_path, tries=1)
    assert not [
        name for name in files_in(tmp_path) if name.startswith(("classes", ".classes")) and files_in(tmp_path)[name]
    ]


def test_wrong_hash_is_named(server, tmp_path):
    server.content["classes.json"] = b"[]"
    with pytest.raises(RssegError, match=f"what came has sha256 {hashlib.sha256(b'[]').hexdigest()}"):
        download(table(server.url), tmp_path)


def test_missing_file_goes_to_the_next_address_or_names_the_way_out(server, tmp_path):
    gone = server.url.replace("set of images", "elsewhere")
    download(table(gone, server.url), tmp_path / "a")
    assert files_in(tmp_path / "a") == CONTENT
    with pytest.raises(RssegError, match=r"elsewhere/.*404.*put the file to .*by hand"):
        download(table(gone), tmp_path / "b")
    assert files_in(tmp_path / "b") == {}


def test_busy_server_is_asked_again(server, tmp_path):
    server.busy["classes.json"] = 1
    download(table(server.url), tmp_path)
    assert files_in(tmp_path) == CONTENT


def test_no_network(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as unused:
        port = unused.server_port  # closed again: nobody listens there
    with pytest.raises(RssegError, match=rf"no connection.*--source.*{re.escape(str(tmp_path))}.*by hand"):
        download(table(f"http://127.0.0.1:{port}"), tmp_path, tries=1)


@pytest.mark.parametrize("path", ["../a", "/etc/a", "a/../../b", "C:/a", "a\\b", "", "a/./b", "x/.y.part"])
def test_paths_that_leave_the_directory_are_refused(tmp_path, path):
    written = tmp_path / "bad.csv"
    written.write_text(f"# base: http://127.0.0.1/\npath,bytes,sha256\n{path},1,{'0' * 64}\n")
    with pytest.raises(RssegError, match="refused"):
        load_table(written)
    bad = Table("bad", "", "", "", "", ("http://127.0.0.1/",), (), (RemoteFile(path, 1, "0" * 64),))
    with pytest.raises(RssegError, match="refused"):
        download(bad, tmp_path / "out")


def test_a_link_does_not_lead_out(server, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "Tile 1").symlink_to(tmp_path / "out")
    with pytest.raises(RssegError, match="leads out"):
        download(table(server.url), tmp_path / "set")
    assert files_in(tmp_path / "out") == {}


@pytest.mark.parametrize("line", ["a.jpg,1,12", "a.jpg,many," + "0" * 64, "a.jpg"])
def test_bad_tables(tmp_path, line):
    (tmp_path / "t.csv").write_text(f"path,bytes,sha256\n{line}\n")
    with pytest.raises(RssegError, match="entry 1"):
        load_table(tmp_path / "t.csv")


def test_the_tables_of_the_package():
    assert "dubai" in table_names()
    dubai = load_table("dubai")
    assert len(dubai.files) == 54 * 2 + 1
    assert len({f.sha256 for f in dubai.files}) == len(dubai.files)
    assert dubai.licence.startswith("CC0")
    assert all(base.startswith("https://") for base in dubai.bases)
    with pytest.raises(RssegError, match="did you mean 'dubai'"):
        load_table("dubay")


def test_command(server, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "list"]) == 0
    assert "dubai" in capsys.readouterr().out
    assert main(["data", "get", "dubai", "--source", server.url, "--to", "here"]) == 2  # it has other files
    out = capsys.readouterr()
    assert "CC0" in out.out
    assert "Humans in the Loop" in out.out
    assert out.err.startswith("error: Tile 1/images/image_part_0")
    assert main(["data", "get", "dubai", "--source", "ftp://x"]) == 2
    assert "http" in capsys.readouterr().err
