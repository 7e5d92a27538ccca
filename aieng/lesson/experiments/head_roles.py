"""7.3 measured: what each of SmolLM2's heads looks at, and what is lost without it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from aieng.figures.heads import ablation_bars, relation_bars, three_grids
from aieng.lesson.environment import quick
from aieng.lesson.experiments.single_thread import single_thread
from aieng.lesson.finding import Finding, experiment

PROSE = ("The museum stands on a hill above the harbour. Every spring, when the first visitors arrive, the keepers open the windows of "
         "the long "
         "hall and let in the smell of salt and tar. On the walls hang maps of coasts that nobody has seen since the maps were drawn.")


@single_thread()
@torch.inference_mode()
def all_weights(lm: Any, ids: Sequence[int]) -> Tensor:
    """The attention weights of every head on some tokens: (layers, heads, tokens, tokens)."""
    maps: list[Tensor] = []
    lm.model(torch.tensor([list(ids)]), on_attention=lambda layer, weights: maps.append(weights[0]), logits_to_keep=1)
    return torch.stack(maps)


def repeated_tokens(vocab_size: int, length: int, seed: int) -> Tensor:
    """`length` random tokens, all different, twice in a row: (2 · length,)."""
    block = torch.randperm(vocab_size - 100, generator=torch.Generator().manual_seed(seed))[:length] + 100  # special tokens come first
    return torch.cat([block, block])


@experiment
@single_thread()
def roles(lm: Any, functions: Mapping[str, Any], *, length: int = 30, seeds: Sequence[int] = (0, 1)) -> Finding:
    """Previous-token, sink and induction score of every head, on random tokens that come twice.

    The numbers: `scores` {name: (layers, heads)}, `best` {name: [(layer, head), …] from the highest on}, `best_previous`,
    `best_induction`, `sink_share` (share of heads with a sink score above one half), `first_half`, `second_half` (the model's loss).
    """
    seeds = seeds[:1] if quick() else seeds
    named: dict[str, list[Tensor]] = {"previous token": [], "attention sink": [], "induction": []}
    for seed in seeds:
        ids = repeated_tokens(lm.config.vocab_size, length, seed)
        weights = all_weights(lm, ids.tolist())
        named["previous token"].append(functions["previous_token_score"](weights))
        named["attention sink"].append(functions["attention_sink_score"](weights))
        named["induction"].append(functions["induction_score"](weights, ids))
    scores = {name: torch.stack([torch.as_tensor(s) for s in parts]).double().mean(0).numpy() for name, parts in named.items()}
    best = {name: [(int(i) // z.shape[1], int(i) % z.shape[1]) for i in (-z).argsort(axis=None, kind="stable")] for name,
            z in scores.items()}
    first, second = _copy_loss(lm, length, seeds)
    sink_share = float((scores["attention sink"] > 0.5).mean())
    total = scores["induction"].size

    def listed(name: str) -> str:
        return ", ".join(f"{layer}.{head} ({scores[name][layer, head]:.2f})" for layer, head in best[name][:4])

    return Finding(
        f"The model's loss on the first {length} random tokens is {first:.1f} nats a token, on the repetition {second:.1f}: it copies. "
        f"Strongest heads, as layer.head: previous token {listed('previous token')}; induction {listed('induction')}. "
        f"{int((scores['induction'] > 0.4).sum())} of {total} heads have an induction score above 0.4, and {sink_share:.0%} give more "
        f"than half "
        f"of their weight to the first token, a random one here. {_order(scores, best)}",
        three_grids(scores), {"scores": scores, "best": best, "best_previous": float(scores["previous token"].max()),
                              "sink_share": sink_share,
                              "best_induction": float(scores["induction"].max()), "first_half": first, "second_half": second,
                              "length": length})


def _order(scores: Mapping[str, Any], best: Mapping[str, Sequence[tuple[int, int]]]) -> str:
    """Whether the induction heads lie behind the strongest previous-token head, whose note on each token they would need."""
    layers = (scores["induction"] > 0.4).any(axis=1).nonzero()[0]
    if not len(layers):
        return "No head is a clear induction head."
    before = best["previous token"][0][0]
    fits = "behind" if layers[0] > before else "not behind"
    return (f"The first of these induction heads is in layer {layers[0]}, {fits} the strongest previous-token head in layer {before}; in "
            "theory an induction head uses what such a head has noted about each token: what stood before it.")


@torch.inference_mode()
def _copy_loss(lm: Any, length: int, seeds: Sequence[int], head_mask: Tensor | None = None) -> tuple[float, float]:
    """Loss on random tokens, and on their repetition (from its second token on: where it begins cannot be known)."""
    ids = torch.stack([repeated_tokens(lm.config.vocab_size, length, seed) for seed in seeds])
    logits = lm.model(ids[:, :-1], head_mask=head_mask).float()
    each = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").unflatten(0, (len(seeds), -1))
    return float(each[:, : length - 1].mean()), float(each[:, length:].mean())


@torch.inference_mode()
def _text_loss(lm: Any, ids: Tensor, head_mask: Tensor | None = None) -> float:
    """Mean loss of a text's tokens but the first."""
    return float(cross_entropy(lm.model(ids[None, :-1], head_mask=head_mask)[0].float(), ids[1:]))


@experiment
@single_thread()
def ablations(lm: Any, functions: Mapping[str, Any], found: Finding, *, single: int = 4, group: int = 8, seed: int = 0) -> Finding:
    """Switch heads off, one by one and in groups, and see two losses move.

    The numbers: `whole` (loss of copying, all heads on), `without_induction`, `without_previous`, `without_random` (groups of
    `group_size`), `effects` {loss: [one a head]}, `single` (heads switched off alone), `harmless` (how many of them move the loss on prose
    by less than 1 %).
    """
    if quick():
        single = 1
    length = found.data["length"]
    layers, heads = found.data["scores"]["induction"].shape
    kinds = {"induction": found.data["best"]["induction"], "previous token": found.data["best"]["previous token"]}
    taken = {h for ranked in kinds.values() for h in ranked[: 2 * group]}
    others = [(layer, head) for layer in range(layers) for head in range(heads) if (layer, head) not in taken]
    kinds["drawn by lot"] = random.Random(seed).sample(others, 2 * group)
    prose = torch.tensor(lm.tokenizer.encode(PROSE))
    losses: dict[str, Callable[[Tensor], float]] = {
        "copying random tokens": lambda mask: _copy_loss(lm, length, (seed,), mask)[1], "prose": lambda mask: _text_loss(lm, prose, mask)}
    asked = [(kind, head) for kind, ranked in kinds.items() for head in ranked[:single]]
    begin = time.perf_counter()
    every = torch.ones(layers, heads)
    whole = {name: loss(every) for name, loss in losses.items()}
    effects: dict[str, list[float]] = {}
    for name, loss in tqdm(losses.items(), unit="loss", desc="switching heads off"):
        alone = torch.as_tensor(functions["ablation_effects"](loss, [head for _, head in asked], layers, heads)).tolist()
        together = [loss(_off(every, ranked[:group])) - whole[name] for ranked in kinds.values()]
        effects[name] = [*alone, *together]
    names = [f"{layer}.{head} {kind}" for kind, (layer, head) in asked] + [f"{group} together: {kind}" for kind in kinds]
    kind_of = [kind for kind, _ in asked] + list(kinds)
    copying = effects["copying random tokens"]
    induction, previous, random_ = (whole["copying random tokens"] + e for e in copying[-3:])
    harmless = sum(abs(e) < 0.01 * whole["prose"] for e in effects["prose"][: len(asked)])
    prose_after = [f"{whole['prose'] + e:.2f}" for e in effects["prose"][-3:]]
    return Finding(
        f"With all heads, copying costs {whole['copying random tokens']:.2f} nats a token and prose {whole['prose']:.2f}. Without the "
        f"{group} strongest induction heads copying "
        f"costs {induction:.2f}, without the {group} strongest previous-token heads {previous:.2f}, without {group} drawn by lot "
        f"{random_:.2f}. Prose moves from {whole['prose']:.2f} to "
        f"{', '.join(prose_after)}. Of the {len(asked)} heads switched off alone, {harmless} change the loss on prose by less than 1 %. "
        f"({time.perf_counter() - begin:.0f} s)",
        ablation_bars(names, effects, kinds=kind_of),
        {"whole": whole["copying random tokens"], "without_induction": induction, "without_previous": previous, "without_random": random_,
         "effects": effects, "names": names, "single": len(asked), "harmless": harmless, "group_size": group})


def _off(every: Tensor, heads: Sequence[tuple[int, int]]) -> Tensor:
    mask = every.clone()
    for layer, head in heads:
        mask[layer, head] = 0.0
    return mask


# --- specialists --------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Relation:
    """sentences: (text, looking word, right word, another word); words are found by their last occurrence before the looking one."""

    name: str
    sentences: tuple[tuple[str, str, str, str], ...]


# Text, looking word, subject, noun beside it. Half of the sentences begin with other words: a head that always looks at the second token,
# or a fixed number of tokens back, does not find the subject in both halves.
_PHRASES = (
    ("The bank of the river is", "is", "bank", "river"), ("The roof of the old house was", "was", "roof", "house"),
    ("The colour of her new coat is", "is", "colour", "coat"), ("The door near the two windows was", "was", "door", "windows"),
    ("The teacher behind the girls is", "is", "teacher", "girls"), ("The price of the small paintings was", "was", "price", "paintings"),
    ("The road through the dark forest is", "is", "road", "forest"), ("The letters from my brother were", "were", "letters", "brother"),
    ("Everyone knows that the keys on the kitchen table "
     "are", "are", "keys", "table"), ("Today the apples in the basket are", "are", "apples", "basket"),
    ("For many years the bridge over the narrow canal "
     "was", "was", "bridge", "canal"), ("In those days the songs of the old singer were", "were", "songs", "singer"),
    ("She wrote that the captain of the grey ship "
     "was", "was", "captain", "ship"), ("In autumn the leaves under the tall trees are", "are", "leaves", "trees"),
    ("We were told that the engine of the little boat "
     "is", "is", "engine", "boat"), ("Before the war the rooms above the shop were", "were", "rooms", "shop"),
)
_IT = (
    ("The bank was steep. In the spring it", "it", "bank", "spring"), ("The house was old. After the storm it", "it", "house", "storm"),
    ("The boat was painted red. In the harbour "
     "it", "it", "boat", "harbour"), ("The letter was short. On the table it", "it", "letter", "table"),
    ("The dog slept all day. At night it", "it", "dog", "night"), ("The engine made a noise. After an hour it", "it", "engine", "hour"),
    ("The museum opened early. On Sunday it", "it", "museum", "Sunday"), ("The tree was very tall. In autumn it", "it", "tree", "autumn"),
    ("That year the bridge was closed. Since the flood "
     "it", "it", "bridge", "flood"), ("He said that the soup was cold. Without any salt it", "it", "soup", "salt"),
    ("For most of us the film was long. In the end "
     "it", "it", "film", "end"), ("When we came the road was empty. Near the village it", "it", "road", "village"),
    ("For once the clock was broken. For a week "
     "it", "it", "clock", "week"), ("At that time the garden was small. In the summer it", "it", "garden", "summer"),
    ("As usual the train was late. At the border "
     "it", "it", "train", "border"), ("To her surprise the coat was warm. In the rain it", "it", "coat", "rain"),
)


def _after(text: str, word: str) -> str:
    words = text.split(" ")
    return words[words.index(word) + 1]


RELATIONS = (
    Relation("verb to its subject", _PHRASES),
    Relation("noun to the noun before it", tuple((text, beside, subject, _after(text, subject)) for text, _, subject, beside in _PHRASES)),
    Relation("'it' to what it stands for", _IT),
)


@experiment
@single_thread()
def specialists(lm: Any, relations: Sequence[Relation] = RELATIONS, *, chosen_on: int = 8) -> Finding:
    """For three relations: the head that gives the right word most on half of the sentences, judged on the other half.

    The numbers, on the other half: `syntax`, `sense`, `reference` (weight on the right word), `…_other` (on the other named word),
    `heads` {relation: (layer, head)}, `distinct` (how many heads that are), `largest_change` (relative
    change of the loss on those sentences without the head).
    """
    keys = ("syntax", "sense", "reference")
    data: dict[str, Any] = {"heads": {}}
    given: dict[str, list[float]] = {"on the sentences it was chosen on": [], "the right word, other sentences": [],
                                     "another word, other sentences": []}
    changes, parts = [], []
    for key, relation in zip(keys, relations):
        sentences = relation.sentences[: 2 * chosen_on]
        if quick():
            sentences = sentences[:4]
        half = len(sentences) // 2
        rights, others = zip(*(_looks(lm, *s) for s in sentences))
        right, other = torch.stack(rights), torch.stack(others)  # (sentences, layers, heads)
        mean = right[:half].mean(0)
        layer, head = divmod(int(mean.argmax()), mean.shape[1])
        held, wrong = float(right[half:, layer, head].mean()), float(other[half:, layer, head].mean())
        change = _change(lm, [text for text, *_ in sentences[half:]], layer, head)
        given["on the sentences it was chosen on"].append(float(mean.max()))
        given["the right word, other sentences"].append(held)
        given["another word, other sentences"].append(wrong)
        changes.append(change)
        data |= {key: held, f"{key}_other": wrong}
        data["heads"][relation.name] = (layer, head)
        parts.append(f"{relation.name}: head {layer}.{head} gives {held:.2f} to the right word and {wrong:.2f} to the other (chosen at "
                     f"{float(mean.max()):.2f}); without it the "
                     f"loss on these sentences changes by {change:+.1%}")
    data["distinct"] = len(set(data["heads"].values()))
    data["largest_change"] = max(abs(c) for c in changes)
    return Finding("; ".join(parts) + ".", relation_bars([r.name for r in relations], given), data)


def _looks(lm: Any, text: str, looking: str, right: str, other: str) -> tuple[Tensor, Tensor]:
    """Weights (layers, heads) from a word's last token to the right word's and to the other's."""
    ids = lm.tokenizer.encode(text)
    query = _last(lm, ids, looking, len(ids))
    weights = all_weights(lm, ids)
    return weights[:, :, query, _last(lm, ids, right, query)], weights[:, :, query, _last(lm, ids, other, query)]


def _last(lm: Any, ids: Sequence[int], word: str, before: int) -> int:
    """Place of the last token that ends `word`, before a place."""
    ends = [i for i in range(before) if lm.tokenizer.decode(list(ids[max(0, i - 2) : i + 1])).split(" ")[-1].strip(".,") == word]
    if not ends:
        raise ValueError(f"{word!r} is not in {lm.tokenizer.decode(list(ids))!r} before token {before}")
    return ends[-1]


def _change(lm: Any, texts: Sequence[str], layer: int, head: int) -> float:
    """Relative change of the loss on some texts without a head."""
    on = torch.ones(lm.config.num_hidden_layers, lm.config.num_attention_heads)
    off = _off(on, [(layer, head)])
    ids = [torch.tensor(lm.tokenizer.encode(text)) for text in texts]
    whole, without = (sum(_text_loss(lm, i, mask) for i in ids) for mask in (on, off))
    return without / whole - 1.0
