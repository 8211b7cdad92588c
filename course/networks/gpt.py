"""A small language model: a decoder-only transformer over words, and how one samples from it fast."""

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

END = 0  # the word that ends a text


class Words:
    """Texts as lists of numbers: one for every word, number and sign of a fixed vocabulary.

    decode(encode(text)) is the text with single spaces.  A word may end in a colon.  Word 0 is the end of a text.
    """

    _PIECE = re.compile(r"<end>|\w+:?|[^\w\s]")

    def __init__(self, words: Sequence[str]):
        """words: all that there are, the end of a text first.  Raises ValueError for a word that is there twice."""
        self.words = tuple(words)
        self.number = {word: i for i, word in enumerate(self.words)}
        if len(self.number) < len(self.words):
            raise ValueError("A word is in the vocabulary twice; wanted each of them once.")

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's words.  Raises ValueError for a word that the vocabulary does not have."""
        pieces = self._PIECE.findall(text)
        try:
            return [self.number[piece] for piece in pieces]
        except KeyError as unknown:
            raise ValueError(f"The model has no word {unknown}; wanted one of its {len(self)} words.") from None

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of numbers: words with spaces between them, none before a full stop or question mark."""
        return re.sub(r" ([.?])", r"\1", " ".join(self.words[i] for i in numbers))


Turn = tuple[Tensor, Tensor]  # the cosines and sines of angles


def turn_by(positions: Tensor, d: int, base: float = 1_000.0) -> Turn:
    """The angles of rotary positions: position * base^(-2 i / d) for the pairs i of d features.

    positions: any shape, counted in words;  returns cosines and sines (..., d / 2).  Su et al. (2021), equation 15.
    """
    rates = base ** (-2 * torch.arange(d // 2, device=positions.device) / d)
    angles = positions[..., None] * rates
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: Turn) -> Tensor:
    """x (..., length, d) with its pairs of features, i and i + d / 2, turned.

    The product of a rotated query and a rotated key depends on their distance only.
    """
    cos, sin = turn
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def norm(x: Tensor) -> Tensor:
    """x scaled to mean square 1 over its last dimension."""
    return F.rms_norm(x, x.shape[-1:])


class Block(nn.Module):
    """Attention over the words so far, then a network for each word; both read a normalised x and add to it."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.scale = 1.2 * (width // heads) ** -0.5  # of the products of normalised queries and keys
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def project(self, x: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (b, n, width), turned to their positions: three times (b, heads, n, d)."""
        q, k, v = self.qkv(norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return rotate(norm(q), turn), rotate(norm(k), turn), v

    def mix(self, x: Tensor, found: Tensor) -> Tensor:
        """x with what attention found, (b, heads, n, d), and with what the network makes of it."""
        x = x + self.out(found.transpose(1, 2).flatten(2))
        return x + self.down(F.relu(self.up(norm(x))).square())


class GPT(nn.Module):
    """logits = model(words): words (b, n) -> (b, n, vocabulary), the next word's logits after each of the words.

    The words' vectors are the last layer's weights too (Press & Wolf, 2017); queries and keys are normalised.
    generator: for the initial weights.  Raises ValueError for sizes below 1, or a width that 2 heads does not divide.
    """

    blocks: Sequence[Block]

    def __init__(
        self,
        vocabulary: int,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        for name, size in {"vocabulary": vocabulary, "width": width, "layers": layers, "heads": heads}.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} is {size!r}; wanted a positive integer.")
        if width % (2 * heads):
            raise ValueError(f"width is {width}; wanted a multiple of 2 * heads = {2 * heads}.")
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))  # type: ignore[assignment]
        nn.init.normal_(self.embedding.weight, std=width**-0.5, generator=generator)
        for block in self.blocks:
            for layer in (block.qkv, block.up):
                nn.init.normal_(layer.weight, std=width**-0.5, generator=generator)
            for layer in (block.out, block.down):  # at first a block adds nothing
                nn.init.zeros_(layer.weight)

    def embed(self, words: Tensor) -> Tensor:
        """The vectors that the first block reads, (..., width)."""
        return norm(self.embedding(words))

    def turn(self, positions: Tensor) -> Turn:
        """How queries and keys are turned at positions."""
        cos, sin = turn_by(positions, self.embedding.embedding_dim // self.blocks[0].heads)
        return cos.to(self.embedding.weight), sin.to(self.embedding.weight)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (..., vocabulary) from what the last block gives."""
        return F.linear(norm(x), self.embedding.weight)

    def forward(self, words: Tensor) -> Tensor:
        """Logits (b, n, vocabulary) of the word after each of words (b, n)."""
        x, turn = self.embed(words), self.turn(torch.arange(words.shape[1], device=words.device))
        for block in self.blocks:
            q, k, v = block.project(x, turn)
            x = block.mix(x, F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=block.scale))
        return self.logits(x)
