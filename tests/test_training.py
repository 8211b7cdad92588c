from functools import partial

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from course.distributions import GaussianMixture, Moons
from course.losses import conditional_flow_matching_loss
from course.networks import MLP
from course.paths import MixturePath, linear_schedule
from course.training import AHEAD, ema_update, labelled_batches, pair_batches, path_batches, train

quietly = partial(train, progress=False, batch_size=64)


def generator(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def flow_loss(model, z, t, x0):
    return conditional_flow_matching_loss(model, linear_schedule, z, t, x0)


def small(seed=0):
    return MLP(2, width=16, depth=2, generator=generator(seed))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


RING = GaussianMixture.ring(4, std=0.3)


@pytest.mark.parametrize("t", [0.3, torch.tensor(0.3), torch.full((5,), 0.3)], ids=["float", "0-d", "(n,)"])
def test_a_network_takes_every_kind_of_time(t, device):
    model, x = small().to(device), torch.randn(5, 2, generator=generator()).to(device)
    t = t.to(device) if isinstance(t, torch.Tensor) else t
    torch.testing.assert_close(model(x, t), torch.cat([model(x[i : i + 1], 0.3) for i in range(5)]))


def test_a_network_treats_each_sample_with_its_own_time():
    model, x, t = small(), torch.randn(5, 2, generator=generator()), torch.linspace(0, 1, 5)
    torch.testing.assert_close(model(x, t), torch.cat([model(x[i : i + 1], t[i]) for i in range(5)]))
    assert (model(x[:1], 0.0) != model(x[:1], 1.0)).all()


def test_a_network_can_be_of_double_precision():
    assert small().double()(torch.ones(3, 2, dtype=torch.float64), 0.5).dtype == torch.float64


def test_initial_weights_come_from_the_generator_alone():
    before = torch.get_rng_state()
    first = weights(small())
    torch.testing.assert_close(first, weights(small()), rtol=0, atol=0)
    assert (first != weights(small(seed=1))).any()
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("sizes", [{"dim": 0}, {"width": 0}, {"depth": 0}, {"frequencies": 0}, {"width": 6.4}])
def test_a_network_of_no_size_is_refused(sizes):
    with pytest.raises(ValueError, match="wanted a positive integer"):
        MLP(**{"dim": 2, **sizes})


def test_training_on_least_squares_finds_the_solution():
    # y = A x + b without noise: the least squares solution is exact.
    A, b = torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.tensor([1.0, -1.0])
    model = torch.nn.Linear(2, 2)

    def sample_batch(n, g):
        x = torch.randn(n, 2, generator=g)
        return x, x @ A.T + b

    history = quietly(
        lambda m, x, y: (m(x) - y).square().sum(1).mean(), model, sample_batch, 600, lr=0.05, generator=generator()
    )
    torch.testing.assert_close(model.weight.data, A, rtol=0, atol=1e-4)
    torch.testing.assert_close(model.bias.data, b, rtol=0, atol=1e-4)
    assert history[-1] < 1e-7


def test_the_learned_velocity_approaches_the_exact_one():
    # Seeded: the relative error of this run is 0.04 (the untrained network's is 1).
    model, path = MLP(2, generator=generator()), MixturePath(linear_schedule, RING)
    quietly(flow_loss, model, path_batches(RING.sample), 300, batch_size=256, lr=5e-3, generator=generator())
    t = torch.rand(2000, generator=generator(1))
    x = path.sample(2000, t, generator(2))
    exact = path.velocity(x, t)
    with torch.no_grad():
        assert (model(x, t) - exact).square().sum() < 0.1 * exact.square().sum()


def test_the_history_holds_the_loss_of_every_step(device):
    seen = []

    def loss(model, *batch):
        value = flow_loss(model, *batch)
        seen.append(value.detach().cpu())
        return value

    ring = RING.to(device)
    history = quietly(
        loss, small().to(device), path_batches(ring.sample), AHEAD + 3, generator=generator(device=device)
    )
    torch.testing.assert_close(history, torch.stack(seen))
    assert (history.device.type, history.dtype, history.requires_grad) == ("cpu", torch.float32, False)


def test_a_run_is_repeated_exactly_from_its_seed():
    runs = []
    for seed in (0, 0, 1):
        model = small()
        history = quietly(flow_loss, model, path_batches(RING.sample), 40, generator=generator(seed))
        runs.append(torch.cat([history, weights(model)]))
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_one_step_is_one_step_of_adam():
    ours, theirs, z, t, x0 = small(), small(), *path_batches(RING.sample)(64, generator())
    quietly(flow_loss, ours, lambda n, g: (z, t, x0), 1, lr=1e-2)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    flow_loss(theirs, z, t, x0).backward()
    optimizer.step()
    torch.testing.assert_close(weights(ours), weights(theirs))


def test_the_learning_rate_falls_along_half_a_cosine_and_comes_back():
    model = small()
    optimizer, rates = torch.optim.SGD(model.parameters(), lr=0.1), []

    def loss(model, *batch):
        rates.append(optimizer.param_groups[0]["lr"])
        return flow_loss(model, *batch)

    quietly(loss, model, path_batches(RING.sample), 40, optimizer=optimizer, generator=generator())
    assert rates[0] == 0.1
    assert rates[20] == pytest.approx(0.05)
    assert 0 < rates[-1] < 0.001
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_an_interrupt_leaves_the_model_so_far_and_its_losses():
    def run(stop):
        model, calls = small(), 0

        def loss(model, *batch):
            nonlocal calls
            calls += 1
            if calls > stop:
                raise KeyboardInterrupt
            return flow_loss(model, *batch)

        model.eval()
        history = quietly(loss, model, path_batches(RING.sample), 60, generator=generator())
        return model, history

    model, history = run(stop=40)
    _, full_history = run(stop=100)
    assert len(history) == 40
    torch.testing.assert_close(history, full_history[:40])
    assert weights(model).isfinite().all()
    assert (weights(model) != weights(small())).any()
    assert not model.training
    assert len(quietly(flow_loss, model, path_batches(RING.sample), 5)) == 5


def test_an_interrupt_before_the_first_step_gives_an_empty_history():
    def sample_batch(n, g):
        raise KeyboardInterrupt

    assert quietly(flow_loss, small(), sample_batch, 5).shape == (0,)


def test_the_average_follows_the_weights():
    model = small()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    followed = []

    def loss(model, *batch):
        followed.append(weights(model))
        return flow_loss(model, *batch)

    quietly(loss, model, path_batches(RING.sample), 20, average=average, generator=generator())
    wanted = followed[1]  # AveragedModel starts from the first weights it is shown
    for w in [*followed[2:], weights(model)]:
        wanted = 0.9 * wanted + 0.1 * w
    torch.testing.assert_close(weights(average.module), wanted)


def test_the_bar_shows_the_loss_and_costs_no_output_when_off(capsys, monkeypatch):
    train(flow_loss, small(), path_batches(RING.sample), 5, batch_size=16)
    assert "5/5" in capsys.readouterr().err
    train(flow_loss, small(), path_batches(RING.sample), 5, batch_size=16, progress=False)
    monkeypatch.setenv("COURSE_STATIC", "1")
    train(flow_loss, small(), path_batches(RING.sample), 5, batch_size=16)
    assert capsys.readouterr().err == ""


def test_a_loss_that_explodes_is_said():
    def loss(model, *batch):
        return flow_loss(model, *batch) * float("nan")

    with pytest.raises(FloatingPointError, match="nan after 32 steps"):
        quietly(loss, small(), path_batches(RING.sample), 100)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"loss": lambda m, z, t, x0: (m(z, t) - x0).square()}, r"\(64, 2\); wanted a scalar"),
        ({"sample_batch": lambda n, g: torch.randn(n, 2)}, "gave Tensor; wanted a tuple"),
        ({"sample_batch": lambda n, g: (torch.randn(n, 2), torch.rand(1), torch.randn(n, 2))}, r"gave \[128, 1, 128\]"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(change, words):
    arguments = {"loss": flow_loss, "model": small(), "sample_batch": path_batches(RING.sample), "steps": 2} | change
    with pytest.raises(ValueError, match=words):
        quietly(**arguments)


def test_path_batches_are_data_times_and_noise():
    z, t, x0 = path_batches(RING.sample)(20_000, generator())
    assert (z.shape, t.shape, x0.shape) == ((20_000, 2), (20_000,), (20_000, 2))
    assert t.min() >= 0
    assert t.max() < 1
    # Means within five standard errors, false alarm 6e-7 each.
    assert abs(t.mean() - 0.5) < 5 * 12**-0.5 / 20_000**0.5
    assert (x0.mean(0).abs() < 5 / 20_000**0.5).all()
    assert abs((x0 * z).mean()) < 5 * z.std() / 40_000**0.5


def test_path_batches_can_start_from_another_law():
    z, _, x0 = path_batches(RING.sample, start=Moons().sample)(100, generator())
    assert z.shape == x0.shape == (100, 2)
    assert x0.abs().max() < 2


def test_pair_batches_keep_pairs_together():
    x0 = torch.randn(50, 2, generator=generator())
    z, t, start = pair_batches(x0, 10 + x0)(200, generator())
    torch.testing.assert_close(z, 10 + start)
    assert t.shape == (200,)
    with pytest.raises(ValueError, match="wanted the same"):
        pair_batches(x0, x0[:3])


def test_the_rate_rises_along_a_line_before_it_falls():
    model = small()
    optimizer, rates = torch.optim.SGD(model.parameters(), lr=0.1), []

    def loss(model, *batch):
        rates.append(optimizer.param_groups[0]["lr"])
        return flow_loss(model, *batch)

    quietly(loss, model, path_batches(RING.sample), 50, optimizer=optimizer, warmup=10, generator=generator())
    assert rates[:10] == pytest.approx([0.01 * k for k in range(1, 11)])
    assert rates[10] == pytest.approx(0.1)
    assert rates[30] == pytest.approx(0.05)


def test_a_long_gradient_is_cut_and_a_short_one_is_not():
    def moved(clip):
        model = small()
        before, (z, t, x0) = weights(model), path_batches(RING.sample)(64, generator())
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        quietly(flow_loss, model, lambda n, g: (z, t, x0), 1, optimizer=optimizer, clip=clip)
        return weights(model) - before

    full = moved(1e9)
    torch.testing.assert_close(moved(0.01), 0.01 * full / full.norm(), rtol=1e-3, atol=1e-7)


def test_products_are_done_in_the_dtype_that_is_asked_for():
    seen = []

    def loss(model, z, t, x0):
        seen.append(model.first(z).dtype)
        return flow_loss(model, z, t, x0)

    model = small()
    quietly(loss, model, path_batches(RING.sample), 2, autocast=torch.bfloat16)
    quietly(loss, model, path_batches(RING.sample), 2)
    assert seen == [torch.bfloat16] * 2 + [torch.float32] * 2
    assert weights(model).dtype == torch.float32


class Stopped:
    """A run that can be interrupted before a step, on a file, and what it has learned."""

    def __init__(self, file, network=small):
        self.file, self.network = file, network

    def __call__(self, stop=None, steps=3 * AHEAD + 5, seed=3, **options):
        self.model, self.count = self.network(), 0
        average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

        def loss(model, *batch):
            if self.count == stop:
                raise KeyboardInterrupt
            self.count += 1
            return flow_loss(model, *batch)

        options = {"average": average, "generator": generator(seed), "checkpoint": self.file, "warmup": 7} | options
        history = quietly(loss, self.model, path_batches(RING.sample), steps, **options)
        return history, torch.cat([weights(self.model), weights(average.module)])


@pytest.mark.parametrize("stop", [5, AHEAD, 2 * AHEAD + 11])
def test_a_run_that_was_interrupted_goes_on_as_if_nothing_had_been(tmp_path, stop):
    wanted = Stopped(None)()
    run = Stopped(tmp_path / "run.pt")
    assert len(run(stop)[0]) == stop
    found = run(seed=99)  # the generator's state is in the file
    assert run.count == 3 * AHEAD + 5 - stop // AHEAD * AHEAD
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_run_that_is_over_is_not_run_again(tmp_path):
    run = Stopped(tmp_path / "run.pt")
    wanted = run()
    found = run()
    assert run.count == 0
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_run_without_a_generator_of_its_own_goes_on_too(tmp_path):
    torch.manual_seed(5)
    wanted = Stopped(None)(generator=None)
    run = Stopped(tmp_path / "run.pt")
    torch.manual_seed(5)
    run(40, generator=None)
    torch.manual_seed(6)
    torch.testing.assert_close(run(generator=None)[1], wanted[1], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "network", "words"),
    [
        ({"steps": 50}, small, "is of a run with .*'steps': 101.*wanted .*50"),
        ({"batch_size": 32}, small, "'batch_size': 64"),
        ({}, lambda: MLP(2, width=17, depth=2), "is of another network or optimizer"),
        ({"average": None}, small, "'average': True.*wanted .*False"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused_in_words(tmp_path, change, network, words):
    Stopped(tmp_path / "run.pt")(AHEAD + 1)
    with pytest.raises(ValueError, match=words):
        Stopped(tmp_path / "run.pt", network)(**change)


def test_a_file_that_is_no_checkpoint_is_refused_in_words(tmp_path):
    (tmp_path / "run.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match=r"run\.pt is no checkpoint"):
        Stopped(tmp_path / "run.pt")()


def test_the_moving_average_is_moved_in_place():
    average, current = [torch.tensor([1.0, 2.0]), torch.tensor([[4.0]])], [torch.tensor([3.0, 2.0]), torch.zeros(1, 1)]
    first = average[0]
    current[0].requires_grad_()
    assert ema_update(average, current, 0.75) is None
    torch.testing.assert_close(average, [torch.tensor([1.5, 2.0]), torch.tensor([[3.0]])])
    assert average[0] is first and not first.requires_grad
    assert current[1] == 0
    with pytest.raises(ValueError, match=r"decay is 1\.1"):
        ema_update(average, current, 1.1)


def test_the_moving_average_is_what_pytorchs_average_can_be_told_to_do():
    runs = []
    for update in (get_ema_multi_avg_fn(0.9), lambda old, new, _: ema_update(old, new, 0.9)):
        model = small()
        average = AveragedModel(model, multi_avg_fn=update)
        quietly(flow_loss, model, path_batches(RING.sample), 20, average=average, generator=generator())
        runs.append(weights(average.module))
    torch.testing.assert_close(*runs)


def test_labelled_batches_keep_images_and_labels_together(device):
    y = torch.arange(50, device=device)
    images = y[:, None, None, None].float().expand(50, 1, 2, 2)
    z, t, x0, labels, u = labelled_batches(images, y)(20_000, generator(device=device))
    torch.testing.assert_close(z[:, 0, 0, 0], labels.float())
    assert labels.unique().tolist() == list(range(50))
    assert z.shape == x0.shape == (20_000, 1, 2, 2)
    # Means within six standard errors.
    assert abs(x0.mean()) < 6 / 80_000**0.5
    assert abs(u.mean() - 0.5) < 6 * (12 * 20_000) ** -0.5
    assert u.min() >= 0 and u.max() < 1
    assert t.min() > 0 and t.max() < 1


@pytest.mark.parametrize("spread", [0.7, 1.0])
def test_times_are_logit_normal_and_even_in_every_stretch(spread):
    images = torch.zeros(5, 1, 2, 2)
    _, t, *_ = labelled_batches(images, torch.arange(5), spread)(4096, generator())
    for stretch in (t, t[:128], t[1000:1032]):
        levels = torch.special.ndtr(stretch.logit() / spread).sort().values
        even = (torch.arange(len(levels)) + 0.5) / len(levels)
        assert (levels - even).abs().max() < 3 / len(levels)  # independent ones: about 1 / sqrt(len)


def test_there_is_a_label_for_each_image():
    with pytest.raises(ValueError, match="one for each of 5 images"):
        labelled_batches(torch.zeros(5, 1, 2, 2), torch.arange(4))
