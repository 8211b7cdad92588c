"""How the small reasoner was made: `python -m course.recipes.reasoner` trains it and writes the weights that ship.

A transformer learns to solve stories from stories alone.  At first it gets hardly any right: each step needs the right
person, the right numbers and the right result, and a story all of its steps.  What makes that come early:

* the sum is over the words of the solution only, not over those of the story;
* it begins with short stories, which are cheap and have one thing to learn at a time;
* the vectors of numbers begin as waves of their value, so that neighbours are near each other from the start;
* matrices follow Muon (Jordan, 2024): the gradient's momentum with all its singular values made alike.
"""

import argparse
import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

import course.weights
from course.networks.gpt import END, GPT, Words
from course.reasoners.formats import StoryFormat
from course.reasoners.language import LanguageReasoner
from course.search import final_answer
from course.stories import LARGEST, WORDS, Story, make_example, make_stories, make_story
from course.weights import save

OUT = Path(course.weights.__file__).with_name("reasoner.safetensors")


@dataclass(frozen=True)
class Recipe:
    """What the weights depend on, beside the machine's rounding.

    steps: at most so many;  words: in a batch, about;  rise: the share of the steps in which the stories grow;
    fall: the share at the end in which the rates fall to 0;  target: the share of right answers to stop at.
    """

    steps: int = 2200
    words: int = 1500
    rate: float = 4e-3  # Adam's, for the words' vectors
    matrix_rate: float = 0.02
    rise: float = 0.25
    fall: float = 0.8
    target: float = 0.45
    seed: int = 0


class Muon(torch.optim.Optimizer):
    """Momentum whose singular values are made alike by four Newton-Schulz iterations, for matrices.

    Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks.
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """One step for each matrix."""
        for group in self.param_groups:
            for matrix in group["params"]:
                mean = self.state[matrix].setdefault("mean", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - group["momentum"])
                update = alike(matrix.grad.lerp(mean, group["momentum"]))
                rows, columns = matrix.shape
                matrix.add_(update, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def alike(matrix: Tensor) -> Tensor:
    """The matrix with its singular values brought near 1, its singular vectors unchanged."""
    rows, columns = matrix.shape
    x = matrix.T if rows > columns else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(4):
        a = x @ x.T
        x = 3.4445 * x + (2.0315 * a @ a - 4.7750 * a) @ x
    return x.T if rows > columns else x


def number_waves(count: int, dims: int) -> Tensor:
    """Vectors of the numbers 0, ..., count - 1: cosines and sines of the number, periods 2 to 120: (count, dims)."""
    periods = 2 * 60 ** torch.linspace(0, 1, dims // 2)
    angles = 2 * math.pi * torch.arange(count)[:, None] / periods
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def batches(words: Words, recipe: Recipe, rng: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of inputs and what to predict (-100: nothing), each of examples of about the same length."""
    done = 0
    while True:
        grown = min(1.0, done / (recipe.rise * recipe.steps))
        examples = []
        for _ in range(256):
            steps = rng.randint(2 if grown == 1 else 1, 2 + round(4 * grown))
            story = make_story(rng, steps, distractors=rng.randint(0, 2))
            inputs: list[int] = []
            targets: list[int] = []
            for text, learned in make_example(story, rng):
                piece = words.encode(text)
                inputs += piece
                targets += piece if learned else [-100] * len(piece)
            examples.append((inputs, [*targets[1:], END]))
        examples.sort(key=lambda example: len(example[0]))
        packs: list[list] = []
        pack: list = []
        for example in examples:
            if pack and len(example[0]) * (len(pack) + 1) > recipe.words:
                packs.append(pack)
                pack = []
            pack.append(example)
        packs.append(pack)
        rng.shuffle(packs)
        for pack in packs:
            length = max(len(inputs) for inputs, _ in pack)
            yield (
                torch.tensor([inputs + [END] * (length - len(inputs)) for inputs, _ in pack]),
                torch.tensor([targets + [-100] * (length - len(targets)) for _, targets in pack]),
            )
        done += len(packs)


def accuracy(model: GPT, stories: Sequence[Story]) -> float:
    """The share of stories that the most probable words get right, step by step."""
    greedy, form = LanguageReasoner(model, Words(WORDS), temperature=0.0, memory=0), StoryFormat()
    request = form.finish("", "", 1)
    texts = greedy([story.text for story in stories], 1, request.max_new, [])
    return sum(final_answer(text) == story.answer for (text,), story in zip(texts, stories, strict=True)) / len(stories)


@dataclass
class Trained:
    """A model, the loss of every step, and (step, held-out accuracy) now and then."""

    model: GPT
    losses: list[float]
    accuracies: list[tuple[int, float]]


def new_model(words: Words, seed: int) -> GPT:
    """A model that has learned nothing; half of each number's vector is a wave."""
    model = GPT(len(words), generator=torch.Generator().manual_seed(seed))
    vectors, zero = model.embedding.weight.data, words.number["0"]
    half = vectors.shape[1] // 2
    vectors[zero : zero + LARGEST + 1, :half] = number_waves(LARGEST + 1, half) * vectors.shape[1] ** -0.5
    return model


def train_reasoner(recipe: Recipe = Recipe(), progress: bool = True) -> Trained:
    """Train a model until it gets the target share of held-out stories right, or all steps are done."""
    words, rng = Words(WORDS), random.Random(recipe.seed)
    model = new_model(words, recipe.seed)
    optimizers = [
        torch.optim.Adam(model.embedding.parameters(), lr=recipe.rate, betas=(0.9, 0.98), fused=True),
        Muon([p for block in model.blocks for p in block.parameters()], lr=recipe.matrix_rate),
    ]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    held_out, result = make_stories(200, seed=10_001), Trained(model, [], [])
    bar = tqdm(total=recipe.steps, disable=not progress or os.environ.get("COURSE_STATIC") == "1", unit=" steps")
    for step, (inputs, targets) in zip(range(recipe.steps), batches(words, recipe, rng), strict=False):
        factor = min(1.0, (step + 1) / 50, (recipe.steps - step) / (recipe.fall * recipe.steps))
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.zero_grad()
        learned = targets != -100
        loss = F.cross_entropy(model(inputs)[learned], targets[learned])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        result.losses.append(float(loss.detach()))
        bar.update()
        if (step + 1) % 100 == 0:
            result.accuracies.append((step + 1, accuracy(model, held_out)))
            bar.set_postfix_str(f"loss {result.losses[-1]:.2f}, right {result.accuracies[-1][1]:.0%}")
            if result.accuracies[-1][1] >= recipe.target:
                break
    bar.close()
    return result


def main() -> None:
    """Train, say how it goes, write the weights."""
    parser = argparse.ArgumentParser(prog="python -m course.recipes.reasoner", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    out, recipe = options.pop("out"), Recipe(**options)
    begin = time.process_time()
    trained = train_reasoner(recipe)
    spent = time.process_time() - begin
    final = accuracy(trained.model, make_stories(500, seed=10_002))
    made_by = {
        "command": "python -m course.recipes.reasoner",
        **asdict(recipe),
        "width": trained.model.embedding.embedding_dim,
        "layers": len(trained.model.blocks),
        "heads": trained.model.blocks[0].heads,
        "steps made": len(trained.losses),
        "processor seconds": round(spent),
        "right of 500 fresh stories": round(final, 3),
        "torch": torch.__version__,
    }
    save(out, trained.model.state_dict(), made_by)
    for step, right in trained.accuracies:
        print(f"step {step:5}: loss {trained.losses[step - 1]:.3f}, right {right:.0%}")
    print(f"{spent:.0f} processor seconds; {final:.1%} of 500 fresh stories right; {out}")


if __name__ == "__main__":
    main()
