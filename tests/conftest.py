"""Fixtures that more than one test module uses."""

import sys

import pytest
import torch

from tests.browser import browser

if sys.platform.startswith("linux"):
    from tests.classroom import classroom, empty_gradebook

    __all__ = ["browser", "classroom", "empty_gradebook"]
else:  # grading needs Linux, and `make` a Unix
    _GRADING = "attacks cli exports gradebook grading ingest readme run sandbox scale"
    __all__ = ["browser"]
    collect_ignore = [f"test_{name}.py" for name in _GRADING.split()]


_LONGEST = ("test_notebooks", "test_exchange", "test_jupyterlab", "test_site")


def pytest_collection_modifyitems(items):
    """The modules that take minutes come first: on several cores, what comes last should be short."""
    items.sort(key=lambda item: item.path.stem not in _LONGEST)


def _devices():
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=_devices())
def device(request):
    """Every kind of device this machine has and the course's numbers must agree on."""
    return torch.device(request.param)
