import numpy as np
import pytest
import torch

import course
from course.shapes import expand_time


def test_the_device_is_one_that_can_hold_a_tensor():
    assert torch.ones(2, device=course.device()).sum().item() == 2


@pytest.mark.parametrize("t", [0.5, 1, np.float32(0.25)])
def test_a_number_stays_the_number_it_is(t):
    assert expand_time(t, torch.zeros(3, 2)) is t


def test_a_zero_dimensional_time_stays_as_it_is(device):
    t = torch.tensor(0.5, device=device)
    assert expand_time(t, torch.zeros(3, 2, device=device)) is t


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 1, 8, 8)])
def test_one_time_per_sample_multiplies_each_sample_by_its_own_time(shape, device):
    t = torch.arange(5, dtype=torch.float64, device=device)
    x = torch.ones(shape, dtype=torch.float64, device=device)
    product = expand_time(t, x) * x
    assert product.shape == x.shape
    for i in range(5):
        assert (product[i] == i).all()


@pytest.mark.parametrize(
    ("t", "shape", "named"),
    [
        (torch.zeros(4), (5, 2), r"\(4,\).*\(5, 2\).*\(5,\)"),
        (torch.zeros(5, 1), (5, 2), r"\(5, 1\)"),
        (torch.zeros(1), (5, 2), r"\(1,\)"),
        ([0.0, 1.0], (2, 2), "list"),
        (None, (2, 2), "NoneType"),
    ],
)
def test_any_other_time_is_refused_by_name(t, shape, named):
    with pytest.raises(ValueError, match=named):
        expand_time(t, torch.zeros(shape))
