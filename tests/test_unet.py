"""The U-Net and the classifier: each part against the same thing computed another way."""

import math

import pytest
import torch
import torch.nn.functional as F

from course.networks import Classifier, UNet
from course.networks.unet import (
    AttentionLayers,
    ResidualLayers,
    attention_block,
    patchify,
    residual_block,
    time_embedding,
    unet_forward,
    unpatchify,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def trained(module, seed=0):
    """The module with no weight zero, as after training."""
    for i, parameter in enumerate(module.parameters()):
        parameter.data = 0.2 * normal(*parameter.shape, seed=1000 * seed + i)
    return module


def test_the_time_embedding_is_a_table_of_sines_and_cosines():
    found = time_embedding(torch.tensor([0.0, 0.25, 1.0]), 6, period=0.01)
    for n, t in enumerate([0.0, 0.25, 1.0]):
        angles = [2 * math.pi * t / period for period in (4, 0.2, 0.01)]
        wanted = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert found[n].tolist() == pytest.approx(wanted, abs=2e-4)


def test_different_times_have_different_embeddings():
    found = time_embedding(torch.linspace(0, 1, 101), 32)
    assert torch.cdist(found, found).fill_diagonal_(9).min() > 0.5


@pytest.mark.parametrize("dim", [7, 2, 0])
def test_an_embedding_of_another_dimension_is_refused(dim):
    with pytest.raises(ValueError, match=f"dim is {dim}"):
        time_embedding(torch.zeros(1), dim)


@pytest.mark.parametrize(("shape", "size"), [((2, 1, 28, 28), 2), ((1, 3, 6, 9), 3), ((2, 2, 4, 4), 1)])
def test_patches_are_pytorchs_and_come_back(shape, size):
    x = normal(*shape)
    torch.testing.assert_close(patchify(x, size), F.pixel_unshuffle(x, size), rtol=0, atol=0)
    torch.testing.assert_close(unpatchify(patchify(x, size), size), x, rtol=0, atol=0)


def test_images_that_patches_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"7 x 8.*; wanted sides that patches of 2 x 2 divide"):
        patchify(torch.zeros(1, 1, 7, 8), 2)
    for side in (27, 30):  # 30 is 15 patches, an odd number again
        with pytest.raises(ValueError, match=r"(27 x 27|15 x 15), here or at an inner level; wanted sides"):
            UNet()(torch.zeros(1, 1, side, side), 0.5, torch.tensor([3]))
    with pytest.raises(ValueError, match="6 channels; wanted a multiple of 4"):
        unpatchify(torch.zeros(1, 6, 4, 4), 2)


@pytest.mark.parametrize("outputs", [8, 16])
def test_a_residual_block_is_its_formula(outputs):
    layers, x, e = trained(ResidualLayers(8, outputs, 5)), normal(3, 8, 6, 6), normal(3, 5, seed=1)
    wanted = []
    for image, numbers in zip(x, e, strict=True):  # one image after the other, one channel's scale after the other
        h = layers.conv1(F.silu(layers.norm1(image[None])))
        modulation = layers.modulate.weight @ numbers + layers.modulate.bias
        h = layers.norm2(h)
        h = torch.stack([h[:, c] * (1 + modulation[c]) + modulation[outputs + c] for c in range(outputs)], 1)
        wanted.append(layers.conv2(F.silu(h)) + layers.skip(image[None]))
    torch.testing.assert_close(residual_block(layers, x, e), torch.cat(wanted))


def test_attention_is_pytorchs():
    layers, x = trained(AttentionLayers(16, heads=4)), normal(3, 16, 5, 3)
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = layers.qkv.weight[:, :, 0, 0], layers.qkv.bias
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = layers.out.weight[:, :, 0, 0], layers.out.bias
    tokens = layers.norm(x).flatten(2).mT
    wanted = x + theirs(tokens, tokens, tokens)[0].mT.reshape(x.shape)
    torch.testing.assert_close(attention_block(layers, x), wanted)


def test_attention_does_not_care_where_a_pixel_is():
    layers, x = trained(AttentionLayers(16, heads=2)), normal(2, 16, 4, 4)
    order = torch.randperm(16, generator=generator())
    shuffled = x.flatten(2)[..., order].reshape(x.shape)
    wanted = attention_block(layers, x).flatten(2)[..., order].reshape(x.shape)
    torch.testing.assert_close(attention_block(layers, shuffled), wanted)


def test_blocks_and_the_network_start_as_nothing():
    x, e = normal(2, 16, 4, 4), normal(2, 5, seed=1)
    torch.testing.assert_close(residual_block(ResidualLayers(16, 16, 5), x, e), x, rtol=0, atol=0)
    torch.testing.assert_close(attention_block(AttentionLayers(16, 4), x), x, rtol=0, atol=0)
    assert (UNet()(normal(2, 1, 28, 28), 0.3, torch.tensor([1, 2])) == 0).all()


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (3, 1, 28, 28)),
        ({}, (1, 1, 28, 28)),
        ({}, (2, 1, 32, 20)),
        ({"patch": 1}, (2, 1, 8, 8)),
        ({"patch": 1, "channels": (8, 16, 24), "depth": 2}, (2, 1, 12, 8)),
        ({"patch": 4, "channels": (16,), "inputs": 3}, (2, 3, 28, 28)),
    ],
)
def test_a_velocity_has_the_shape_of_its_images(options, shape, device):
    model = trained(UNet(**options)).to(device)
    x, y = normal(*shape).to(device), torch.arange(shape[0], device=device)
    with torch.no_grad():
        assert model(x, 0.4, y).shape == shape


def test_one_time_for_all_is_one_for_each():
    model, x, y = trained(UNet()), normal(3, 1, 28, 28), torch.tensor([3, 0, 10])
    with torch.no_grad():
        each = model(x, torch.tensor([0.4, 0.4, 0.4]), y)
        torch.testing.assert_close(model(x, 0.4, y), each)
        torch.testing.assert_close(model(x, torch.tensor(0.4), y), each)


def test_each_image_has_its_own_time_and_label():
    model, x = trained(UNet()), normal(3, 1, 28, 28)
    t, y = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([7, 10, 0])
    with torch.no_grad():
        wanted = torch.cat([model(x[i : i + 1], t[i], y[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(model(x, t, y), wanted, rtol=1e-4, atol=1e-4)
        assert ((model(x, t.flip(0), y) - wanted)[[0, 2]].flatten(1).norm(dim=1) > 1e-3).all()
        assert ((model(x, t, y.flip(0)) - wanted)[[0, 2]].flatten(1).norm(dim=1) > 1e-3).all()


def test_every_weight_has_a_gradient():
    model = trained(UNet())
    y = torch.arange(11)
    model(normal(11, 1, 28, 28), torch.linspace(0, 1, 11), y).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_subclass_with_functions_of_its_own_has_the_same_weights():
    calls = []

    def count(function):
        def counted(*arguments):
            calls.append(function.__name__)
            return function(*arguments)

        return counted

    class Mine(UNet):
        forward = unet_forward
        residual = staticmethod(count(residual_block))
        attention = staticmethod(count(attention_block))
        embedding = staticmethod(count(time_embedding))
        patchify = staticmethod(count(patchify))
        unpatchify = staticmethod(count(unpatchify))

    theirs, mine = trained(UNet()), Mine()
    mine.load_state_dict(theirs.state_dict())
    x, y = normal(2, 1, 28, 28), torch.tensor([1, 10])
    with torch.no_grad():
        torch.testing.assert_close(mine(x, 0.5, y), theirs(x, 0.5, y), rtol=0, atol=0)
    assert set(calls) == {"residual_block", "attention_block", "time_embedding", "patchify", "unpatchify"}


@pytest.mark.parametrize("label", [-1, 11])
def test_a_label_out_of_range_is_said(label):
    with pytest.raises(ValueError, match=f"{label}.*wanted 0 to 9, or 10 for no label"):
        UNet()(torch.zeros(2, 1, 28, 28), 0.0, torch.tensor([5, label]))


def test_the_network_runs_in_half_precision():
    model, x, y = trained(UNet()), normal(4, 1, 28, 28), torch.arange(4)
    with torch.no_grad():
        exact = model(x, 0.5, y)
        with torch.autocast("cpu", torch.bfloat16):
            near = model(x, 0.5, y).float()
    assert (near - exact).norm() < 0.05 * exact.norm()


def test_a_classifier_gives_probabilities_that_depend_on_the_time():
    model, x = Classifier(), normal(5, 1, 28, 28)
    with torch.no_grad():
        log_probs = model(x, torch.linspace(0, 1, 5))
        assert log_probs.shape == (5, 10)
        torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(5))
        torch.testing.assert_close(model(x)[4], log_probs[4])
        assert (model(x)[0] - log_probs[0]).abs().max() > 1e-4
        assert model.features(x, 0.5).shape == (5, 64)


@pytest.mark.parametrize("size", [8, 15, 32])
def test_a_classifier_takes_images_of_other_sizes(size):
    assert Classifier()(torch.zeros(2, 1, size, size)).shape == (2, 10)
