"""The table of public weights, the local folder, and downloads from a server on the loopback interface."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.fetch import Unavailable, fetch
from paddle_rsseg.weights import save_weights, store, table
from paddle_rsseg.weights.store import locate, weights_folder
from paddle_rsseg.weights.table import entries, entry, read_table


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        body = self.server.body
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        half = self.server.cuts > 0
        self.server.cuts -= half
        self.wfile.write(body[start : start + (len(body) - start) // 2] if half else body[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    save_weights(tmp_path / "content.safetensors", {"x": np.arange(50_000.0)})
    server.body, server.asked, server.cuts = (tmp_path / "content.safetensors").read_bytes(), [], 0
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def known(server, monkeypatch, tmp_path):
    """A table of one row, ``net.data``, whose file the server has; returns how to change the row."""
    monkeypatch.setenv("RSSEG_WEIGHTS", str(tmp_path / "folder"))
    row = entry("resnet18.imagenet").model_dump() | {
        "name": "net.data", "url": f"http://127.0.0.1:{server.server_port}/a/net-1.safetensors",
        "sha256": hashlib.sha256(server.body).hexdigest()[:8],
    }  # fmt: skip

    def change(**values):
        only = table.Entry(**{**row, **values})
        monkeypatch.setattr(store, "entries", lambda: {"net.data": only})

    change()
    return change


def test_a_named_file_is_downloaded_once_and_then_found(server, known, tmp_path):
    seen = []
    path, row = locate("net.data", progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "folder" / "net-1.safetensors"
    assert (path.read_bytes(), row.name) == (server.body, "net.data")
    assert seen[-1] == (len(server.body), len(server.body))
    assert locate("net.data", download=False)[0] == path
    assert len(server.asked) == 1
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    # somewhere else
    assert locate("net.data", tmp_path / "other")[0] == tmp_path / "other" / "net-1.safetensors"


def test_a_broken_download_goes_on_and_another_run_continues_it(server, known, tmp_path):
    server.cuts = 1
    locate("net.data")
    assert server.asked == [None, f"bytes={len(server.body) // 2}-"]
    (tmp_path / "folder" / "net-1.safetensors").unlink()
    server.cuts, server.asked = 1, []
    with pytest.raises(RssegError, match="broke off"):
        locate("net.data", tries=1)
    assert locate("net.data")[0].read_bytes() == server.body
    assert server.asked == [None, f"bytes={len(server.body) // 2}-"]


def test_without_a_known_hash_an_older_beginning_is_not_trusted(server, known, tmp_path):
    known(sha256="")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".net-1.safetensors.part").write_bytes(b"other")
    assert locate("net.data")[0].read_bytes() == server.body
    assert server.asked == [None]


def test_wrong_content_is_refused_and_leaves_nothing(server, known, tmp_path):
    server.body = server.body[:-1] + b"?"
    with pytest.raises(RssegError, match=r"what came has sha256 [0-9a-f]{64}.*put it to .*net-1\.safetensors"):
        locate("net.data", tries=1)
    known(sha256="")
    server.body = b"<html>log in, please</html>"
    with pytest.raises(RssegError, match="begins with b'<html>log' and is no weights file"):
        locate("net.data", tries=1)
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_damaged_local_file_is_not_used(server, known, tmp_path):
    path, _ = locate("net.data")
    path.write_bytes(b"x")
    with pytest.raises(RssegError, match=r"net-1\.safetensors: sha256 2d7.*remove it, then net\.data is fetched anew"):
        locate("net.data")


def test_without_network_the_message_is_enough_to_go_on(known, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as unused:
        url = f"http://127.0.0.1:{unused.server_port}/net-1.safetensors"  # closed again: nobody listens there
    known(url=url)
    with pytest.raises(RssegError) as caught:
        locate("net.data", tries=1)
    text = str(caught.value)
    assert f"fetch {url} elsewhere and put it to {tmp_path / 'folder' / 'net-1.safetensors'}" in text
    assert "no connection" in text
    with pytest.raises(RssegError, match="not in the local folder"):
        locate("net.data", download=False)


def test_a_path_wins_over_a_name_and_wrong_names_get_help(known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate(tmp_path / "content.safetensors") == (tmp_path / "content.safetensors", None)
    (tmp_path / "net.data").mkdir()
    save_weights(tmp_path / "net.data" / "model.safetensors", {"x": np.zeros(1)})
    assert locate("net.data")[1] is None
    with pytest.raises(RssegError, match=r"no such file"):
        locate("missing/file.pth")
    with pytest.raises(RssegError, match=r"no such file"):
        locate("resnet50.pth")
    with pytest.raises(RssegError, match=r"neither a file nor known weights.*did you mean 'net\.data'"):
        locate("net.dato")


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("RSSEG_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "paddle_rsseg" / "weights"
    monkeypatch.setenv("RSSEG_WEIGHTS", "~/w")
    assert weights_folder().is_absolute()


def test_a_file_of_unknown_length_ends_with_the_connection(server, tmp_path):
    assert (
        fetch([f"http://127.0.0.1:{server.server_port}/x"], tmp_path / "x") == hashlib.sha256(server.body).hexdigest()
    )
    with pytest.raises(Unavailable, match="sha256"):
        fetch([f"http://127.0.0.1:{server.server_port}/x"], tmp_path / "y", "0" * 64, tries=1)
    assert not (tmp_path / "y").exists()


# --- the table itself -----------------------------------------------------------------------------------------


def test_every_row_names_a_network_that_exists():
    pytest.importorskip("paddle")
    from paddle_rsseg.registry import BACKBONES, MODELS, Registry

    def check(registry: Registry, spec):
        registry.check_arguments(spec["type"], {k: v for k, v in spec.items() if k != "type"}, row.name)

    assert len(entries()) > 100
    for row in entries().values():
        spec = row.architecture
        if row.model:
            inner = spec["backbone"]
            check(BACKBONES, inner if isinstance(inner, dict) else {"type": inner})
        check(MODELS if row.model else BACKBONES, spec)


def test_files_addresses_and_hashes_of_the_table():
    rows = list(entries().values())
    files = [row.file for row in rows]
    assert len(set(files)) == len(files), "two rows share a local file"
    assert len({row.url for row in rows}) == len(rows)
    for row in rows:
        assert row.url.startswith("https://") or row.sha256, f"{row.name}: neither encrypted nor checked"
        assert row.sha256 in row.file, row.name  # none is known but from the file's name
        assert row.licence
        assert row.page.startswith("https://")
    assert entry("resnet50.imagenet").sha256 == "0676ba61"
    assert entry("shufflenet_v2_x1_0.imagenet").sha256 == "5666bf0f80"
    assert entry("deeplabv3plus_r50.cityscapes_paddleseg").mean == (0.5, 0.5, 0.5)
    assert entry("hrnet_ocr_w48.cityscapes").classes == 19


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{backbone: A, url: x.pth, sha: 1}", "sha: Extra"),
        ("{url: x.pth}", "either a model or a backbone"),
        ("{backbone: A, url: x.pth, sha256: XYZ}", "sha256"),
        ("{backbone: A, url: x.pth, mean: [1.0]}", "differ in number"),
        ("{backbone: A, url: x.pth, classes: 0}", "classes"),
    ],
)
def test_bad_rows_are_refused(tmp_path, change, message):
    common = "{origin: o, page: p, licence: l, scheme: s, dataset: d, classes: 2, base: 'https://a/'"
    (tmp_path / "t.yml").write_text(f"{common}, weights: {{a.b: {change}}}}}")
    with pytest.raises(RssegError, match=f"a.b: .*{message}"):
        read_table(tmp_path / "t.yml")
