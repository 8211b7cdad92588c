"""Fixtures that more than one test module uses."""

import pytest
import torch

from tests.classroom import classroom, empty_gradebook

__all__ = ["classroom", "empty_gradebook"]


def _devices():
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=_devices())
def device(request):
    """Every kind of device this machine has and the course's numbers must agree on."""
    return torch.device(request.param)
