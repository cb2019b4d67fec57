"""Downloads from a server that breaks off, lies and refuses."""

import hashlib
import io
import json
import re
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from txt2img.datasets import coco, fetch_coco_captions
from txt2img.datasets import download as module
from txt2img.datasets.download import download
from txt2img.exceptions import DownloadError

CONTENT = np.random.default_rng(0).bytes(1_000_000)


class Server(ThreadingHTTPServer):
    """Serves `files`, and does to the n-th request of a path what the n-th of its `faults` says."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.requests = {}, {}, []
        self.has_ranges = True

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        faults = self.server.faults.get(self.path, [])
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            self.send_error(fault)
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.has_ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.files["/file"] = CONTENT
        yield server
        server.shutdown()
        thread.join()


def test_a_file_comes_once(server, tmp_path):
    seen = []
    for _ in range(2):
        download(f"{server.url}/file", tmp_path / "new" / "file", show=lambda *state: seen.append(state))
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert server.requests == [("/file", None)]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_cut_connections_go_on_where_they_were(server, tmp_path):
    server.faults["/file"] = ["cut", "cut", "cut", 503, "cut", "cut", "cut", "cut"]
    download(f"{server.url}/file", tmp_path / "file", md5=hashlib.md5(CONTENT).hexdigest())
    assert (tmp_path / "file").read_bytes() == CONTENT
    starts = [int(wanted[6:-1]) for _, wanted in server.requests[1:]]
    assert starts == sorted(starts)
    assert starts[0] == len(CONTENT) // 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_interrupted_goes_on_later(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    download(f"{server.url}/file", tmp_path / "file")
    assert server.requests == [("/file", "bytes=1000-")]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_that_is_all_is_the_file(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_of_a_longer_file_is_thrown_away(server, tmp_path):
    (tmp_path / "file.part").write_bytes(2 * CONTENT)
    download(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_begins_again(server, tmp_path):
    server.has_ranges = False
    server.faults["/file"] = ["cut"]
    download(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_sum_leaves_nothing(server, tmp_path):
    with pytest.raises(DownloadError, match=r"MD5 sum is \w+, and should be 0000"):
        download(f"{server.url}/file", tmp_path / "file", md5="0000")
    assert list(tmp_path.iterdir()) == []


def test_refusals_are_not_tried_again(server, tmp_path):
    with pytest.raises(DownloadError, match="404"):
        download(f"{server.url}/missing", tmp_path / "missing")
    assert len(server.requests) == 1


def test_endless_failures_end(server, tmp_path):
    server.has_ranges = False
    server.faults["/file"] = ["cut"] * 100
    with pytest.raises(DownloadError, match=r"500,000 of 1,000,000.*goes on.*put the file.* at .*file"):
        download(f"{server.url}/file", tmp_path / "file")
    assert len(server.requests) <= 2 * module.N_TRIES


def test_without_a_network_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)
    with pytest.raises(DownloadError, match=re.escape(str(tmp_path / "file"))):
        download("http://127.0.0.1:9/file", tmp_path / "file")


@pytest.fixture
def coco_server(server, monkeypatch):
    """A server with four photographs, one of them without a caption, as COCO has them."""
    names = [f"{number:012}.jpg" for number in range(4)]
    for number, name in enumerate(names):
        picture = io.BytesIO()
        Image.new("RGB", (32, 24), (60 * number, 0, 0)).save(picture, "JPEG")
        server.files[f"/val2017/{name}"] = picture.getvalue()
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [
            {"image_id": n, "caption": f"caption {i} of {n}"} for i in range(2) for n in (3, 0, 1)
        ],
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("annotations/captions_val2017.json", json.dumps(content))
    server.files["/annotations/annotations_trainval2017.zip"] = archive.getvalue()
    monkeypatch.setattr(coco, "SERVER", server.url)
    sums = coco.MD5_OF_YEAR | {"2017": hashlib.md5(archive.getvalue()).hexdigest()}
    monkeypatch.setattr(coco, "MD5_OF_YEAR", sums)
    return server


def test_coco_comes_with_its_captions(coco_server, tmp_path, capsys):
    captioned = fetch_coco_captions(tmp_path, n_photographs=None, verbose=1)
    assert captioned.photos == [str(tmp_path / "val2017" / f"{n:012}.jpg") for n in (0, 1, 3)]
    assert captioned.captions[2] == ["caption 0 of 3", "caption 1 of 3"]
    assert "3/3 photographs" in capsys.readouterr().err
    n_requests = len(coco_server.requests)
    assert fetch_coco_captions(tmp_path, n_photographs=2).photos == captioned.photos[:2]
    assert len(coco_server.requests) == n_requests


def test_coco_goes_on_after_a_failure(coco_server, tmp_path):
    name = "/val2017/000000000001.jpg"
    kept = coco_server.files.pop(name)
    with pytest.raises(DownloadError, match=name):
        fetch_coco_captions(tmp_path)
    coco_server.files[name] = kept
    assert len(fetch_coco_captions(tmp_path)) == 3
    assert sum(path.startswith("/annotations") for path, _ in coco_server.requests) == 1


def test_coco_with_captions_of_another_language(coco_server, tmp_path):
    table = {
        "images": [{"id": 2, "file_name": "000000000002.jpg"}],
        "annotations": [{"image_id": 2, "caption": "un perro"}],
    }
    (tmp_path / "es.json").write_text(json.dumps(table))
    assert fetch_coco_captions(tmp_path, captions=tmp_path / "es.json").captions == [["un perro"]]
    assert [path for path, _ in coco_server.requests] == ["/val2017/000000000002.jpg"]


def test_names_that_lead_elsewhere_are_refused(coco_server, tmp_path):
    table = {
        "images": [{"id": 2, "file_name": "../evil.jpg"}],
        "annotations": [{"image_id": 2, "caption": "x"}],
    }
    (tmp_path / "es.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"\.\./evil"):
        fetch_coco_captions(tmp_path, captions=tmp_path / "es.json")


def test_unknown_splits_are_refused(tmp_path):
    with pytest.raises(ValueError, match="val2017"):
        fetch_coco_captions(tmp_path, split="test2017")
