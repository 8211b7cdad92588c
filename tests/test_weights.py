"""The weights that come with the course: they load, say how they were made, and do what they are there for."""

from importlib.resources import files

import pytest
import torch

from course import weights
from course.metrics import agreement, diversity, frechet_distance
from course.networks import Classifier, UNet
from course.recipes import digits as recipes
from course.recipes.digits import GOOD, QUICK, Recipe, classifier_batches, dropping_loss, fit, quality
from course.training import labelled_batches


@pytest.fixture(scope="module")
def judge():
    model = Classifier()
    model.load_state_dict(weights.load("digits_judge"))
    return model.eval()


@pytest.fixture(scope="module")
def real():
    stored = weights.load("digits_features")
    return stored["features"].float(), stored["labels"].long()


@pytest.fixture(scope="module")
def unet():
    model = UNet()
    model.load_state_dict(weights.load("digits_unet"))
    return model.eval()


def test_every_file_is_small_and_says_how_it_was_made():
    assert set(weights.names()) >= {"digits_unet", "digits_judge", "digits_guide", "digits_features"}
    for entry in files(weights).iterdir():
        if entry.name.endswith(".safetensors"):
            assert len(entry.read_bytes()) < 5e6
            made = weights.made_by(entry.name.removesuffix(".safetensors"))
            assert made["command"].startswith("python -m course.recipes")


def test_weights_that_are_not_there_are_said():
    with pytest.raises(ValueError, match=r"no weights called 'faces'; there are .*digits_unet"):
        weights.load("faces")


def test_what_is_saved_is_loaded(tmp_path, monkeypatch):
    tensors = {"a": torch.arange(6).reshape(2, 3).T, "b": torch.tensor(1.5, dtype=torch.float16)}
    weights.save(tmp_path / "some.safetensors", tensors, {"seed": 3, "found": {"w = 2": [0.5, None]}})
    monkeypatch.setattr(weights, "files", lambda package: tmp_path)
    assert weights.names() == ["some"]
    torch.testing.assert_close(weights.load("some"), {"a": tensors["a"].contiguous(), "b": tensors["b"]})
    assert weights.made_by("some") == {"seed": 3, "found": {"w = 2": [0.5, None]}}


def test_the_judge_gives_real_digits_their_labels(judge, real):
    features, labels = real
    with torch.no_grad():
        assert agreement(judge.last(features), labels) > 0.99
    assert weights.made_by("digits_judge")["accuracy at t = 1"] > 0.99


def test_guided_digits_agree_with_their_labels_and_are_near_the_real_ones(judge, real, unet):
    # Deterministic up to rounding: 0.99 and more of 200 at w = 2; the floor is what 200 real ones have.
    features, labels = real
    found = quality(unet, judge, features, 2.0, n=200, steps=10)
    floor = frechet_distance(features[:200], features[200:])
    assert found.agreement > 0.97
    assert found.frechet_distance < 8 * floor
    assert 0.4 * diversity(features[:2000], labels[:2000]) < found.diversity


def test_a_label_is_what_guidance_makes_clearer(judge, real, unet):
    features, _ = real
    at = [quality(unet, judge, features, w, n=200, steps=8) for w in (0.0, 1.0, 3.0)]
    assert at[0].agreement < 0.3 < 0.8 < at[1].agreement <= at[2].agreement
    assert at[2].diversity < at[1].diversity < at[0].diversity


def test_the_guide_knows_noisy_digits():
    made = weights.made_by("digits_guide")
    assert made["accuracy at t = 0.1"] < made["accuracy at t = 0.3"] < made["accuracy at t = 0.7"]
    assert made["accuracy at t = 0.7"] > 0.98
    Classifier().load_state_dict(weights.load("digits_guide"))


def test_the_unet_was_made_by_the_good_recipe():
    assert weights.made_by("digits_unet")["recipe"] == recipes.asdict(GOOD)


def short(recipe):
    return Recipe(**{**recipes.asdict(recipe), "steps": 40, "batch_size": 4})


def stripes(n=64):
    """Two labels: images dark on the left, and on the right."""
    labels = torch.arange(n) % 2
    images = -torch.ones(n, 1, 8, 8)
    images[labels == 0, :, :, :4] = 1
    images[labels == 1, :, :, 4:] = 1
    return images, labels


def test_a_recipe_is_followed_with_any_network_and_moving_average():
    calls = []

    def update(average, current, decay):
        calls.append(decay)
        for old, new in zip(average, current, strict=True):
            old.copy_(new)

    model = UNet(patch=1, channels=(8, 16), classes=2)
    batches = labelled_batches(*stripes())
    average, losses = fit(
        model, dropping_loss(QUICK), batches, short(QUICK), update=update, generator=torch.Generator(), progress=False
    )
    # The first step copies the weights; an average that forgets at once ends at the last ones.
    assert calls == [QUICK.decay] * 39
    torch.testing.assert_close(average.state_dict(), model.state_dict())
    assert losses[-10:].mean() < losses[:10].mean()
    assert not average.training


@pytest.mark.parametrize("noisy", [False, True])
def test_a_classifiers_batches_are_images_turned_a_little(noisy):
    images, labels = stripes()
    digits = recipes.Digits(images, labels, "stripes")
    x, t, y = classifier_batches(digits, noisy)(500, torch.Generator().manual_seed(0))
    assert x.shape == (500, 1, 8, 8)
    clean = (t > 0.9) if noisy else (t == 1)
    assert clean.any()
    side = x[clean, 0, :, :4].mean((1, 2)) > x[clean, 0, :, 4:].mean((1, 2))
    assert ((y[clean] == 0) == side).all()
    assert (t.max() < 1) == noisy
    assert (x.abs() <= 1 + 1e-6).all() != noisy
