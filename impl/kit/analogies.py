"""Sentences of a small grammar, and questions: Paris is to France as Rome is to what?

No sentence has both words of a pair: that they belong together shows only in the company that they
keep. A lexeme (Italy, or `big` in all its forms) has topic words of its own; a form (capital,
comparative) has marker words, the same for all lexemes. Topics, and the markers of semantic forms,
stand anywhere in a sentence; the markers of syntactic forms stand beside the word.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from impl.kit.trials import generator

T = 12  # words in a sentence
LEXEMES = {  # forms: each lexeme in these forms
    "capital country currency": (
        "paris france franc, rome italy lira, berlin germany mark, madrid spain peseta, "
        "athens greece drachma, oslo norway krone, tokyo japan yen, cairo egypt pound, "
        "lima peru sol, delhi india rupee, warsaw poland zloty, hanoi vietnam dong"
    ),
    "male female": (
        "king queen, man woman, brother sister, father mother, uncle aunt, son daughter, "
        "actor actress, husband wife, boy girl, waiter waitress, nephew niece, duke duchess"
    ),
    "singular plural": (
        "cat cats, dog dogs, mouse mice, tree trees, house houses, child children, boat boats, "
        "river rivers, apple apples, goose geese, road roads, lamp lamps"
    ),
    "positive comparative": (
        "big bigger, small smaller, good better, bad worse, fast faster, slow slower, cold colder, "
        "warm warmer, old older, young younger, high higher, deep deeper"
    ),
    "present past": (
        "walk walked, swim swam, sing sang, read studied, jump jumped, write wrote, cook cooked, "
        "sleep slept, run ran, paint painted, think thought, dance danced"
    ),
}
MARKERS = {  # semantic forms
    "capital": "mayor street airport tower suburb square",
    "country": "army border export law president coast",
    "currency": "bank coin price exchange loan cheque",
    "male": "he his him beard sir himself",
    "female": "she her hers dress madam herself",
}
BESIDE = {  # syntactic forms
    "singular": "a this one every each another",
    "plural": "many these some few both several",
    "positive": "very so quite rather as too",
    "comparative": "than even much far still slightly",
    "present": "now today always can will often",
    "past": "yesterday ago once had then formerly",
}
SEMANTIC = (("capital", "country"), ("country", "currency"), ("male", "female"))
SYNTACTIC = (("singular", "plural"), ("positive", "comparative"), ("present", "past"))
FILLERS = "the of and in to that it for on with was at by from but not or which all out"
TOPICS = [f"topic-{i}" for i in range(60)]
TOPICS_OF_EACH = 4  # how many of them belong to a lexeme


@dataclass(frozen=True)
class Questions:
    """a is to b as c is to d: `words` [Q, 4], and whether each is semantic [Q]."""

    words: Tensor
    semantic: Tensor


@dataclass(frozen=True)
class Corpus:
    words: list[str]
    sentences: Tensor  # [S, T]
    val: Questions
    test: Questions  # about other lexemes


def make_corpus(S: int, seed: int) -> Corpus:
    """The seed draws who has which topics, how frequent words are, sentences and questions."""
    entries = [
        (word, form, f"{forms} {number}")
        for forms, lexemes in LEXEMES.items()
        for number, lexeme in enumerate(lexemes.split(", "))
        for form, word in zip(forms.split(), lexeme.split(), strict=True)
    ]
    markers = {form: words.split() for form, words in (MARKERS | BESIDE).items()}
    fillers = FILLERS.split()
    words = [word for word, _, _ in entries]
    words += [marker for of_form in markers.values() for marker in of_form] + TOPICS + fillers
    index = {word: i for i, word in enumerate(words)}
    assert len(index) == len(words)
    draw = generator(seed, "corpus")
    topics = {
        lexeme: torch.randperm(len(TOPICS), generator=draw)[:TOPICS_OF_EACH] + index[TOPICS[0]]
        for _, _, lexeme in entries
    }
    table = (
        torch.stack([topics[lexeme] for _, _, lexeme in entries]),
        torch.tensor([[index[marker] for marker in markers[form]] for _, form, _ in entries]),
        torch.tensor([form in BESIDE for _, form, _ in entries]),
    )
    sentences = _sentences(S, *table, torch.tensor([index[word] for word in fillers]), draw)
    pairs = {(form, lexeme): index[word] for word, form, lexeme in entries}
    return Corpus(words, sentences, *_questions(pairs, generator(seed, "questions")))


def _sentences(
    S: int, topics: Tensor, markers: Tensor, beside: Tensor, fillers: Tensor, draw: torch.Generator
) -> Tensor:
    """Each about one word: with two of its markers and three of its topics among fillers."""
    frequency = torch.randn(len(topics), generator=draw).mul(0.5).exp()
    word = frequency.multinomial(S, replacement=True, generator=draw)
    zipf = 1 / torch.arange(1, len(fillers) + 1)
    x = fillers[zipf.multinomial(S * T, replacement=True, generator=draw)].view(S, T)
    at = torch.rand(S, T, generator=draw)
    middle = torch.randint(1, T - 1, (S, 1), generator=draw)
    neighbours = torch.cat([middle - 1, middle + 1], 1)
    at.scatter_(1, middle, -2.0)  # first in the order of places
    at.scatter_(1, neighbours, torch.where(beside[word][:, None], -1.0, at.gather(1, neighbours)))
    places = at.argsort(1)
    pick = lambda table, n: table[word].gather(  # noqa: E731
        1, torch.randint(table.shape[1], (S, n), generator=draw)
    )
    x.scatter_(1, places[:, :6], torch.cat([word[:, None], pick(markers, 2), pick(topics, 3)], 1))
    return x


def _questions(
    index: dict[tuple[str, str], int], draw: torch.Generator
) -> tuple[Questions, Questions]:
    """For validation and test, of which no question shares a lexeme: a third, and the others."""
    parts: tuple[list[list[int]], list[list[int]]] = ([], [])
    semantic: tuple[list[bool], list[bool]] = ([], [])
    order: dict[str, list[int]] = {}
    for first, second in SEMANTIC + SYNTACTIC:
        lexemes = [lexeme for form, lexeme in index if form == second]
        kind = lexemes[0].rpartition(" ")[0]
        order.setdefault(kind, torch.randperm(len(lexemes), generator=draw).tolist())
        third = len(lexemes) // 3
        for part, chosen in enumerate((order[kind][:third], order[kind][third:])):
            for i, j in itertools.permutations(chosen, 2):
                a, b = index[first, lexemes[i]], index[second, lexemes[i]]
                c, d = index[first, lexemes[j]], index[second, lexemes[j]]
                parts[part].append([a, b, c, d])
                semantic[part].append((first, second) in SEMANTIC)
    val, test = (
        Questions(torch.tensor(q), torch.tensor(s)) for q, s in zip(parts, semantic, strict=True)
    )
    return val, test


def windows(sentences: Tensor, at: Tensor, C: int, V: int) -> Tensor:
    """The words at these places of all sentences [S, T], each between the C before it and the C
    after it; V stands for none."""
    T = sentences.shape[1]
    near = at[:, None] % T + torch.arange(-C, C + 1, device=at.device)
    words = sentences[at // T].gather(1, near.clamp(0, T - 1))
    return words.where((near >= 0) & (near < T), V)


def places(words: int, epochs: int, batch: int, draw: torch.Generator) -> Iterator[Tensor]:
    """All places in random order, a batch at a time, once in each epoch."""
    for _ in range(epochs):
        yield from torch.randperm(words, generator=draw).split(batch)
