"""The digits: what is downloaded, what is refused, and what there is without a network."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from course import data
from course.data import Digits, mnist, small_digits


def idx(array):
    """An array of bytes as an idx file, zipped."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes(), mtime=0)


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10
CONTENTS = {
    f"{prefix}-{kind}-idx{dims}-ubyte.gz": idx(array[: 20 if prefix == "train" else 7])
    for prefix in ("train", "t10k")
    for kind, dims, array in (("images", 3, IMAGES), ("labels", 1, LABELS))
}


class Handler(BaseHTTPRequestHandler):
    """/good/name, /missing/name, /truncated/name, /short/name, /tampered/name, /silent/name, /trickling/name."""

    def do_GET(self):
        _, manner, name = self.path.split("/")
        self.server.asked.append(manner)
        content = CONTENTS[name]
        if manner == "missing":
            return self.send_error(404)
        self.send_response(200)
        if manner != "short":  # a short one does not say how long it should have been
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if manner == "tampered":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if manner in ("truncated", "short"):
            content = content[: len(content) // 2]
        if manner == "silent":
            self.server.over.wait(30)
        elif manner == "trickling":
            for i in range(len(content)):
                self.wfile.write(content[i : i + 1])
                if self.server.over.wait(0.002):
                    return None
        else:
            self.wfile.write(content)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A local server that can misbehave, whose small files are taken for MNIST's, and an empty cache."""
    monkeypatch.delenv("COURSE_DATA", raising=False)
    files = {
        split: {name: hashlib.sha256(CONTENTS[name]).hexdigest() for name in names}
        for split, names in data.FILES.items()
    }
    monkeypatch.setattr(data, "FILES", files)
    monkeypatch.setattr(data.pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked, server.over, server.cache = [], threading.Event(), tmp_path / "cache" / "generative-course"
    server.at = lambda manner: f"http://127.0.0.1:{server.server_port}/{manner}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def is_mnist(digits, n=20):
    np.testing.assert_allclose(digits.images[:, 0], IMAGES[:n] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(digits.labels, LABELS[:n])
    return digits.source


def test_images_and_labels_are_downloaded_and_scaled(server):
    digits = mnist(mirrors=[server.at("good")])
    assert is_mnist(digits) == "20 MNIST training images"
    assert (digits.images.dtype, digits.labels.dtype) == (torch.float32, torch.int64)
    assert digits.images.shape == (20, 1, 28, 28)
    assert is_mnist(mnist("test", [server.at("good")]), 7) == "7 MNIST test images"


def test_a_second_call_downloads_nothing(server):
    mnist(mirrors=[server.at("good")])
    asked = list(server.asked)
    is_mnist(mnist(mirrors=[server.at("good")]))
    assert server.asked == asked


@pytest.mark.parametrize("manner", ["missing", "truncated", "short", "tampered"])
def test_a_bad_file_is_refused_and_fetched_elsewhere(server, manner):
    is_mnist(mnist(mirrors=[server.at(manner), server.at("good")]))
    assert server.asked == [manner, "good"] * 2
    assert sorted(path.name for path in server.cache.iterdir()) == sorted(data.FILES["train"])


@pytest.mark.parametrize("manner", ["silent", "trickling"])
def test_a_server_that_does_not_deliver_is_given_up(server, manner, monkeypatch):
    monkeypatch.setattr(data, "SILENCE", 0.2)
    monkeypatch.setattr(data, "PATIENCE", 0.2)
    is_mnist(mnist(mirrors=[server.at(manner), server.at("good")]))


def test_a_server_that_is_not_there_is_passed_over(server):
    is_mnist(mnist(mirrors=["http://127.0.0.1:9/", server.at("good")]))


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(server):
    mnist(mirrors=[server.at("good")])
    path = server.cache / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100])
    is_mnist(mnist(mirrors=[server.at("good")]))


@pytest.mark.parametrize("manner", ["missing", "tampered"])
def test_without_a_good_mirror_there_are_small_digits_that_say_so(server, manner):
    digits = mnist(mirrors=[server.at(manner)])
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.source == "1,797 digits of 8 × 8 (no network)"
    assert not any(server.cache.iterdir())


def test_the_small_digits_are_scikit_learns():
    digits = small_digits("no network")
    np.testing.assert_allclose(digits.images[:, 0], load_digits().images / 8 - 1)
    np.testing.assert_array_equal(digits.labels, load_digits().target)
    assert isinstance(digits, Digits)


@pytest.fixture
def folder(server, tmp_path, monkeypatch):
    """A folder that COURSE_DATA names, with all the files; and no mirror may be asked."""
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    yield tmp_path
    assert not server.asked


def test_a_folder_of_ones_own_is_used_instead_of_the_network(folder):
    assert is_mnist(mnist()) == "20 MNIST training images"
    (folder / "mnist").mkdir()
    for name in CONTENTS:
        (folder / name).rename(folder / "mnist" / name)
    assert is_mnist(mnist("test"), 7) == "7 MNIST test images"


def test_test_images_alone_will_do_and_it_is_said(folder):
    for name in data.FILES["train"]:
        (folder / name).unlink()
    assert is_mnist(mnist("train"), 7) == "7 MNIST test images"


def test_an_empty_folder_means_small_digits(folder):
    for name in CONTENTS:
        (folder / name).unlink()
    assert mnist().source == "1,797 digits of 8 × 8 (no MNIST in COURSE_DATA)"


def test_a_folder_with_a_file_that_is_not_mnists_is_refused(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte\.gz is not MNIST's"):
        mnist("test")


def test_there_are_two_splits():
    with pytest.raises(ValueError, match="split is 'validation'"):
        mnist("validation")
