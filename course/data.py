"""Images of handwritten digits: MNIST, or, where there is no network, the small digits that scikit-learn carries."""

import gzip
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pooch
import torch
from torch import Tensor
from tqdm.auto import tqdm

Split = Literal["train", "test"]

# LeCun, Cortes & Burges (1998). The images and the labels of each split: file, SHA-256.
FILES = {
    "train": {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    },
    "test": {
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
SILENCE = 10.0  # seconds without a byte after which a mirror is given up
PATIENCE, SLOWEST = 20.0, 20_000  # seconds after which it has to have sent so many bytes a second


class Digits(NamedTuple):
    """images (n, 1, h, w), float32 from -1, paper, to 1, ink; labels (n,), int64, 0 to 9; where they are from."""

    images: Tensor
    labels: Tensor
    source: str


def mnist(split: Split = "train", mirrors: Sequence[str] = MIRRORS) -> Digits:
    """The 60,000 images of 28 x 28 to train with, or the 10,000 to test with.

    Downloaded once, into the platform's folder for caches, from the first mirror that sends the right bytes. Where
    none does, these are scikit-learn's 1,797 digits of 8 x 8, and `source` says so: a text for a figure's title.
    With the environment variable COURSE_DATA nothing is downloaded: it names a folder that holds the files, or whose
    folder mnist does. If the training images are not there, the test images are taken for them; if neither, the
    8 x 8 digits.  Raises ValueError for a file in that folder that is not MNIST's, and for another split.
    """
    if split not in FILES:
        raise ValueError(f'split is {split!r}; wanted "train" or "test".')
    given = os.environ.get("COURSE_DATA")
    if given:
        for found in (split, "test"):
            if paths := _in_folder(Path(given).expanduser(), found):
                return _read(paths, f"{'training' if found == 'train' else 'test'}")
        return small_digits("no MNIST in COURSE_DATA")
    try:
        paths = [_download(name, sha256, mirrors) for name, sha256 in FILES[split].items()]
    except OSError:
        return small_digits("no network")
    return _read(paths, "training" if split == "train" else "test")


def small_digits(why: str) -> Digits:
    """The 1,797 digits of 8 x 8 of scikit-learn, with the reason in `source`.  Alpaydin & Kaynak (1998)."""
    from sklearn.datasets import load_digits  # takes a second to import

    digits = load_digits()
    images = torch.as_tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    return Digits(images, torch.as_tensor(digits.target), f"{len(images):,} digits of 8 × 8 ({why})")


def _in_folder(folder: Path, split: str) -> list[Path]:
    """The files of a split in a folder, checked; empty if they are not there."""
    for place in (folder, folder / "mnist"):
        paths = [place / name for name in FILES[split]]
        if all(path.is_file() for path in paths):
            for path in paths:
                if hashlib.sha256(path.read_bytes()).hexdigest() != FILES[split][path.name]:
                    raise ValueError(f"{path} is not MNIST's: its SHA-256 is another. Delete it or replace it.")
            return paths
    return []


def _download(name: str, sha256: str, mirrors: Sequence[str]) -> Path:
    """A file in the cache, fetched if need be.  Raises OSError if no mirror sends it with the right SHA-256."""
    pooch.get_logger().setLevel("WARNING")
    errors: list[Exception] = []
    for mirror in mirrors:
        with _Bar(desc=name, unit="B", unit_scale=True, leave=False, delay=0.5) as bar:
            downloader = pooch.HTTPDownloader(progressbar=bar, timeout=SILENCE)
            try:
                path = pooch.retrieve(
                    mirror + name, sha256, name, pooch.os_cache("generative-course"), downloader=downloader
                )
                return Path(path)
            except (OSError, ValueError) as error:  # ValueError: a file of another SHA-256
                errors.append(error)
    raise OSError(f"No mirror sent {name}.") from ExceptionGroup("mirrors", errors)


class _Bar(tqdm):
    """A progress bar that gives up on a mirror that trickles."""

    def __bool__(self) -> bool:
        return True  # pooch asks whether it has one; tqdm's answer is whether there is something to do

    def update(self, n: float | None = 1) -> bool | None:
        shown = super().update(n)
        elapsed = self.format_dict["elapsed"]
        if elapsed > PATIENCE and self.n < SLOWEST * elapsed:
            raise TimeoutError(f"{self.n:,} bytes in {elapsed:.0f} seconds.")
        return shown


def _read(paths: Sequence[Path], kind: str) -> Digits:
    images, labels = (_idx(path) for path in paths)
    scaled = torch.from_numpy(images)[:, None].float() / 127.5 - 1
    return Digits(scaled, torch.from_numpy(labels).long(), f"{len(labels):,} MNIST {kind} images")


def _idx(path: Path) -> np.ndarray:
    """The array in an idx file: two bytes 0, the type (8: bytes), the number of dimensions, their sizes, the bytes."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">i4", dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
