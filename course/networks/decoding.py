"""Sampling from a GPT fast: what was read is kept, and many texts grow at once."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course.networks.gpt import END, GPT


class Cache(NamedTuple):
    """What all layers keep of the words read so far.

    keys, values: (layers, b, heads, length, d), the keys rotated to their positions;  words: (b, length), where there
    is a word at all: shorter rows are filled up on the left.
    """

    keys: Tensor
    values: Tensor
    words: Tensor

    def row(self, i: int) -> Tensor:
        """Keys and values of text i alone: (2, layers, heads, length, d)."""
        return torch.stack([self.keys[:, i][:, :, self.words[i]], self.values[:, i][:, :, self.words[i]]])


class Memory:
    """Keys and values of texts that were read, so that a text that starts like one of them is read from there on.

    size: how many words it holds in all; what was not used for the longest time goes first.
    """

    def __init__(self, size: int = 30_000):
        self.size, self.held = size, 0
        self.rows: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()  # (2, layers, heads, length, d)

    def longest(self, words: Sequence[int]) -> tuple[int, Tensor | None]:
        """How many of the first words are known, not all of them, and their keys and values."""
        key = tuple(words[:-1])
        while key:
            if key in self.rows:
                self.rows.move_to_end(key)
                return len(key), self.rows[key]
            key = key[:-1]
        return 0, None

    def keep(self, words: Sequence[int], row: Tensor) -> None:
        """Remember a text."""
        key = tuple(words)
        if key not in self.rows:
            self.rows[key] = row
            self.held += len(key)
        while self.held > self.size:
            self.held -= len(self.rows.popitem(last=False)[0])


def read(model: GPT, texts: Sequence[Sequence[int]], memory: Memory | None = None) -> tuple[Tensor, Cache]:
    """Read texts, b lists of words: x (b, m, width) after the last m words of each, and the cache.

    m is the largest number of words that are new to the memory; x is without meaning where a text has less of them.
    """
    device = model.embedding.weight.device
    known = [memory.longest(text) if memory is not None else (0, None) for text in texts]
    old = max(length for length, _ in known)
    new = max(len(text) - length for text, (length, _) in zip(texts, known, strict=True))
    layers, heads = len(model.blocks), model.blocks[0].heads
    d = model.embedding.embedding_dim // heads
    kept = model.embedding.weight.new_zeros(2, layers, len(texts), heads, old, d)
    words = torch.full((len(texts), new), END)
    there = torch.zeros(len(texts), old + new, dtype=torch.bool)
    for i, (text, (length, row)) in enumerate(zip(texts, known, strict=True)):
        if row is not None:
            kept[:, :, i, :, old - length :] = row
        there[i, old - length : old] = True
        there[i, old + new - (len(text) - length) :] = True
        words[i, new - (len(text) - length) :] = torch.tensor(text[length:])
    words, there = words.to(device), there.to(device)
    # A word's position is the number of words before it; the filling has none, and nobody looks at it but itself.
    turn = model.turn((there.cumsum(1) - 1)[:, None, old:])
    causal = torch.ones(new, new, dtype=torch.bool, device=device).tril()
    mask = torch.cat([there[:, None, :old].expand(-1, new, -1), causal & there[:, None, old:]], dim=2)
    mask = (mask | F.pad(torch.eye(new, dtype=torch.bool, device=device), (old, 0)))[:, None]
    x, keys, values = model.embed(words), [], []
    for block, old_keys, old_values in zip(model.blocks, kept[0], kept[1], strict=True):
        q, k, v = block.project(x, turn)
        keys.append(torch.cat([old_keys, k], dim=2))
        values.append(torch.cat([old_values, v], dim=2))
        x = block.mix(x, F.scaled_dot_product_attention(q, keys[-1], values[-1], mask, scale=block.scale))
    cache = Cache(torch.stack(keys), torch.stack(values), there)
    if memory is not None:
        for i, text in enumerate(texts):
            memory.keep(text, cache.row(i))
    return x, cache


@torch.inference_mode()
def sample(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    u: Tensor,
    stop: Collection[int] = (),
    temperature: float = 1.0,
    memory: Memory | None = None,
) -> list[list[list[int]]]:
    """n texts after each of b prompts, together: each ends with a stop word, before the end of text, or is full.

    prompts: b lists of words, none empty.  u (b, n, max_new): uniform on [0, 1), a number for each word; the word is
    the one at which the distribution function passes it, so that a text depends on its own numbers only.
    The n texts of a prompt share what was kept of it; prompts all of whose texts have ended are put aside.
    Raises ValueError for an empty prompt or a negative temperature; 0 is the most probable word each time.
    """
    if not prompts or not all(prompts):
        raise ValueError("There is an empty prompt; wanted at least one word in each, and at least one prompt.")
    if temperature < 0:
        raise ValueError(f"temperature is {temperature}; wanted 0 or more.")
    n, max_new = u.shape[1:]
    x, (keys, values, there) = read(model, prompts, memory)
    logits = model.logits(x[:, -1:]).expand(-1, n, -1)
    b, device = len(prompts), x.device
    u = u.to(device)
    own = x.new_empty(2, len(model.blocks), b, keys.shape[2], n, max_new, keys.shape[-1])
    lengths = there.sum(1)
    texts = torch.zeros(b, n, max_new, dtype=torch.long, device=device)
    rows = torch.arange(b, device=device)  # which prompts the tensors below are about
    ended = torch.zeros(b, n, dtype=torch.bool, device=device)
    ends = torch.tensor([END, *stop], device=device)
    hidden = x.new_zeros(there.shape).masked_fill_(~there, -torch.inf)[:, None, None]
    for step in range(max_new):
        word = _choose(logits, u[rows, :, step], temperature)
        texts[rows, :, step] = word.masked_fill(ended, END)
        ended = ended | torch.isin(word, ends)
        active = ~ended.all(1)
        if step + 1 == max_new or not active.any():
            break
        if active.float().mean() < 0.8:
            rows, ended, word, lengths, hidden = (each[active] for each in (rows, ended, word, lengths, hidden))
            keys, values, own = keys[:, active], values[:, active], own[:, :, active]
        x = model.embed(word)
        turn = model.turn((lengths + step)[:, None, None])
        for layer, block in enumerate(model.blocks):
            q, k, v = block.project(x, turn)  # (b, heads, n, d): the n texts stand where a text's words do
            own[0, layer, :, :, :, step], own[1, layer, :, :, :, step] = k, v
            own_keys, own_values = own[:, layer, :, :, :, : step + 1]
            of_own = (q[..., None, :] @ own_keys.mT)[..., 0, :]  # three times as fast as own_keys @ q
            scores = torch.cat([q @ keys[layer].mT + hidden / block.scale, of_own], dim=-1)
            share = torch.softmax(block.scale * scores, dim=-1)
            of_prompt, of_own = share.split([keys.shape[3], step + 1], dim=-1)
            x = block.mix(x, of_prompt @ values[layer] + (of_own[..., None, :] @ own_values)[..., 0, :])
        logits = model.logits(x)
    return [[_until(text, stop) for text in some] for some in texts.tolist()]


def _choose(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """The word of each row of logits (..., vocabulary) at which the distribution function passes u (...)."""
    if temperature == 0:
        return logits.argmax(-1)
    below = torch.softmax(logits / temperature, dim=-1).cumsum(-1)
    return torch.searchsorted(below, (u * below[..., -1].clone())[..., None], right=True)[..., 0].clamp_max(
        logits.shape[-1] - 1
    )


def _until(text: list[int], stop: Collection[int]) -> list[int]:
    """A text up to its first stop word, included, or the end of text, excluded."""
    for i, word in enumerate(text):
        if word == END:
            return text[:i]
        if word in stop:
            return text[: i + 1]
    return text


@torch.inference_mode()
def log_prob(
    model: GPT, prompt: Sequence[int], texts: Sequence[Sequence[int]], memory: Memory | None = None
) -> list[list[float]]:
    """For each text the log-probabilities of its words after the prompt, in nats."""
    x, cache = read(model, [prompt], memory)
    first = torch.log_softmax(model.logits(x[0, -1]), dim=-1)
    longer = [text for text in texts if len(text) > 1]
    rest: list[Tensor] = []
    if longer:
        only = Memory()
        only.keep(prompt, cache.row(0))
        x, _ = read(model, [[*prompt, *text[:-1]] for text in longer], only)
        rest = list(torch.log_softmax(model.logits(x), dim=-1))
    logs = iter(rest)
    result = []
    for text in texts:
        found = [float(first[text[0]])] if text else []
        if len(text) > 1:
            found += next(logs)[range(1 - len(text), 0), list(text[1:])].tolist()
        result.append(found)
    return result
