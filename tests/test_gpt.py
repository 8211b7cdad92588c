"""The language model: what is kept changes nothing, sampling follows the distribution, positions count as distances."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.stats import chisquare

from course.networks.decoding import END, Memory, log_prob, read, sample
from course.networks.gpt import GPT, Words, rotate, turn_by
from course.reasoners.language import LanguageReasoner
from course.stories import WORDS, make_stories

PROMPTS = [[3, 1, 4], [1, 5, 9, 2, 6, 5, 3, 5, 8], [9, 7, 9, 3, 2], [3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7]]
STOPS = (11, 12)


@pytest.fixture(scope="module")
def model():
    """Weights large enough that the model prefers some words to others."""
    made = GPT(13, width=16, layers=3, heads=2)
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4, generator=generator)
    return made.double().requires_grad_(False)


def uniform(b, n, max_new, seed=0):
    return torch.rand(b, n, max_new, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def one_by_one(model, prompt, u, stop=(), temperature=1.0):
    """A text as the definition has it: all words anew for each next one."""
    text: list[int] = []
    for number in u.tolist():
        logits = model(torch.tensor([[*prompt, *text]]))[0, -1]
        below = torch.softmax(logits / temperature, 0).cumsum(0).tolist()
        word = next(i for i, share in enumerate(below) if share > number)
        if word == END:
            break
        text.append(word)
        if word in stop:
            break
    return text


@pytest.mark.parametrize("stop", [(), STOPS])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_texts_that_grow_together_from_a_cache_are_those_made_one_by_one(model, stop, temperature):
    u = uniform(4, 5, 12)
    drawn = sample(model, PROMPTS, u, stop, temperature)
    expected = [[one_by_one(model, p, v, stop, temperature) for v in some] for p, some in zip(PROMPTS, u, strict=True)]
    assert drawn == expected
    assert len({len(text) for some in drawn for text in some}) > 1


def test_what_was_read_before_changes_no_text(model):
    u, memory = uniform(4, 3, 8), Memory()
    longer = [[*prompt, 5, 6] for prompt in PROMPTS]
    sample(model, PROMPTS, u, memory=memory)
    assert sample(model, longer, u, memory=memory) == sample(model, longer, u)
    assert sample(model, longer[::-1], u, memory=memory) == sample(model, longer[::-1], u)


def test_only_what_is_new_is_read(model):
    memory = Memory()
    assert read(model, PROMPTS, memory)[0].shape[1] == 13
    assert read(model, [[*prompt, 5, 6] for prompt in PROMPTS], memory)[0].shape[1] == 2
    assert read(model, [PROMPTS[0], [9, 9, 9, 9]], memory)[0].shape[1] == 4


def test_kept_words_give_the_vectors_that_all_words_give(model):
    memory, longer = Memory(), [[*prompt, 5, 6] for prompt in PROMPTS]
    read(model, PROMPTS, memory)
    x, _ = read(model, longer, memory)
    for i, text in enumerate(longer):
        torch.testing.assert_close(model.logits(x[i]), model(torch.tensor([text]))[0, -2:])


def test_the_memory_keeps_no_more_words_than_it_may_and_forgets_the_oldest():
    memory, row = Memory(10), torch.zeros(2, 1, 1, 4, 2)
    for first in (1, 2, 3):
        memory.keep([first, 0, 0, 0], row)
    assert memory.held == 8
    assert memory.longest([1, 0, 0, 0, 0]) == (0, None)
    assert memory.longest([3, 0, 0, 0, 0])[0] == 4


def test_words_are_drawn_as_often_as_they_are_probable(model):
    """A false alarm happens once in 10^6 seeds."""
    share = torch.softmax(model(torch.tensor([PROMPTS[0]]))[0, -1], 0)
    (texts,) = sample(model, [PROMPTS[0]], uniform(1, 20_000, 1))
    seen = torch.bincount(torch.tensor([text[0] if text else END for text in texts]), minlength=13)
    assert chisquare(seen, 20_000 * share).pvalue > 1e-6


def test_at_temperature_zero_it_is_the_most_probable_word(model):
    (drawn,) = sample(model, [PROMPTS[1]], uniform(1, 2, 6), temperature=0.0)
    text = list(PROMPTS[1])
    for word in [*drawn[0], END][:6]:
        assert int(model(torch.tensor([text]))[0, -1].argmax()) == word
        text.append(word)
    assert drawn[0] == drawn[1]


def test_log_probabilities_are_those_of_the_whole_text(model):
    texts, memory = [[5], [6, 7, 8], [], [1, 2]], Memory()
    read(model, [[*PROMPTS[0], 6]], memory)
    for text, found in zip(texts, log_prob(model, PROMPTS[0], texts, memory), strict=True):
        logs = torch.log_softmax(model(torch.tensor([[*PROMPTS[0], *text]]))[0], -1)
        expected = [float(logs[len(PROMPTS[0]) - 1 + i, word]) for i, word in enumerate(text)]
        assert found == pytest.approx(expected, abs=1e-9)


def test_no_word_sees_a_later_one(model):
    words = torch.tensor([PROMPTS[3]])
    changed = words.clone()
    changed[0, 7:] = 1
    torch.testing.assert_close(model(words)[:, :7], model(changed)[:, :7])


def test_rotated_products_depend_on_the_distance_only():
    q, k = torch.randn(2, 1, 8, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    products = [
        float((rotate(q, turn_by(torch.tensor([m + 3]), 8)) * rotate(k, turn_by(torch.tensor([m]), 8))).sum())
        for m in range(6)
    ]
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in pairwise(products))


def test_sizes_that_do_not_fit_are_refused(model):
    with pytest.raises(ValueError, match="width is 20; wanted a multiple of 2"):
        GPT(5, width=20, heads=3)
    with pytest.raises(ValueError, match="layers is 0"):
        GPT(5, layers=0)
    with pytest.raises(ValueError, match="empty prompt"):
        sample(model, [[1], []], uniform(2, 1, 1))
    with pytest.raises(ValueError, match="temperature is -1"):
        sample(model, [[1]], uniform(1, 1, 1), temperature=-1)


def test_words_and_texts_are_the_same_thing():
    words = Words(WORDS)
    for story in make_stories(50, seed=1):
        for text in (story.text, story.solution, story.rephrased):
            assert words.decode(words.encode(text)) == text
    with pytest.raises(ValueError, match="no word 'zebras'"):
        words.encode("Ben has 5 zebras.")
    with pytest.raises(ValueError, match="twice"):
        Words(["<end>", "a", "a"])


def reasoner(**options):
    words = Words(WORDS)
    model = GPT(len(words), 16, 2, 2, torch.Generator().manual_seed(1))
    for block in model.blocks:  # a new block adds nothing
        torch.nn.init.normal_(block.out.weight, std=0.3, generator=torch.Generator().manual_seed(2))
    return LanguageReasoner(model.double(), words, **options)


def test_a_text_depends_on_its_own_prompt_and_turn_only():
    prompts = [story.text for story in make_stories(6, seed=2)]
    together, alone = reasoner(seed=3), reasoner(seed=3, memory=0)
    texts = together(prompts, 3, 10, ["."])
    assert texts == [alone([prompt], 3, 10, ["."])[0] for prompt in prompts]
    assert together(prompts[:1], 3, 10, ["."]) != texts[:1]  # asked again, it says something else
    assert reasoner(seed=4)(prompts, 3, 10, ["."]) != texts
    assert all(text.endswith(".") or len(text.split()) <= 10 for some in texts for text in some)


def test_a_stop_string_of_two_words_is_refused():
    with pytest.raises(ValueError, match=r"'How many' has 2 words"):
        reasoner()([make_stories(1, 1)[0].text], 1, 5, ["How many"])


def test_a_score_is_the_sum_of_the_texts_log_probabilities():
    model, prompt = reasoner(), make_stories(1, 1)[0].text
    (logs,) = log_prob(model.model, model.words.encode(prompt), [model.words.encode("Ben has")])
    assert model.score(prompt, ["Ben has", "Ben"]) == pytest.approx([sum(logs), logs[0]])
