"""7.3 What heads do: visible properties and hints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal
from aieng.lesson.exercises.watching import one_thread

hints(
    "7.3",
    "Each score is a mean of certain entries of the map, one or some per row. Which entries, for row i? (i, i − 1), (i, 0), and for "
    "induction (i, p + 1) for each earlier p that holds the same token. Which rows take no part in each of the three?",
    "`weights.diagonal(-1, -2, -1)` are the entries just below the diagonal, for all leading axes at once; `weights[..., 1:, 0]` the first "
    "column. For induction, `ids[:, None] == ids[None, :]`, cut below the diagonal, says which p hold the query's token; the keys are one "
    "to the right. Ablation: one loss with all ones, then for each head a *new* mask of ones with a single 0.",
    "induction_score: for i in range(n): followers = [p + 1 for p in range(i) if ids[p] == ids[i]]; skip i if there are none, else keep "
    "weights[..., i, followers].sum(-1); ValueError if nothing was kept; the mean of what was kept.\n"
    "ablation_effects: whole = loss(ones); for each head: mask = ones; mask[layer, head] = 0; loss(mask) − whole.",
)


def _maps(*lead: int, n: int, seed: int) -> Tensor:
    """Random causal attention maps."""
    return torch.softmax(normal(seed, *lead, n, n).masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf), -1)


def _number(value: Any, name: str) -> float:
    return float(expect_tensor(value, name, (), hint="One number for one map (n, n)."))


HAND = torch.tensor([[1.0, 0, 0, 0], [0.8, 0.2, 0, 0], [0.1, 0.6, 0.3, 0], [0.2, 0.3, 0.4, 0.1]])


@prop("7.3", "previous token: the entries below the diagonal")
def previous(previous_token_score: Any, attention_sink_score: Any, induction_score: Any, ablation_effects: Any) -> None:
    got = _number(previous_token_score(HAND), "previous_token_score")
    for value, mistake in (
        (0.45, "That is the mean over all 4 rows; row 0 has no token before it: divide by 3."),
        ((1 + 0.2 + 0.3 + 0.1) / 4, "That is the diagonal itself: how much each token looks at itself."),
        (0.0, "Above the diagonal, at the *next* token, a causal map holds only zeros: did you look there? Rows are queries, columns "
              "keys."),
    ):
        expect(abs(got - value) > 1e-4, f"You gave {got:.3g}. {mistake}")
    expect_close(got, 0.6, "The entries (1, 0), (2, 1), (3, 2) of this map are 0.8, 0.6, 0.4: their mean is 0.6.", rtol=1e-4)


@prop("7.3", "attention sink: the first column")
def sink(previous_token_score: Any, attention_sink_score: Any, induction_score: Any, ablation_effects: Any) -> None:
    got = _number(attention_sink_score(HAND), "attention_sink_score")
    expect(abs(got - 2.1 / 4) > 1e-4, "You counted row 0, which can look at nothing but itself: every head would get a share for it. "
                                      "Start at row 1.")
    expect(abs(got) > 1e-4, "You gave 0: did you read row 0? The sink is *column* 0: what all the others give to the first token.")
    expect_close(got, 1.1 / 3, "Column 0 holds 0.8, 0.1, 0.2 in the rows 1 to 3: their mean is 0.367.", rtol=1e-4)


@prop("7.3", "induction: the example by hand")
def induction(previous_token_score: Any, attention_sink_score: Any, induction_score: Any, ablation_effects: Any) -> None:
    ids = torch.tensor([5, 8, 9, 5, 8])  # A B C A B
    weights = torch.zeros(5, 5)
    weights[0, 0] = weights[1, 1] = weights[2, 2] = 1.0
    weights[3] = torch.tensor([0.2, 0.5, 0.0, 0.3, 0.0])
    weights[4] = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.4])
    got = _number(induction_score(weights, ids), "induction_score")
    for value, mistake in (
        (0.2, "You read the keys that hold the *same* token (0 and 1); induction looks at what came after it: one to the right."),
        (0.8 / 5, "You divided by all 5 queries; only tokens 3 and 4 come for the second time."),
        (0.8 / 4, "You divided by 4 queries; only tokens 3 and 4 come for the second time."),
        (0.8, "That is the sum; the score is the mean over the two queries that count."),
        (0.05, "You read the keys *before* the earlier occurrence; it is the one after it."),
    ):
        expect(abs(got - value) > 1e-4, f"You gave {got:.3g}. {mistake}")
    expect_close(got, 0.4, "For A B C A B the entries are (3, 1) = 0.5 and (4, 2) = 0.3: their mean is 0.4.", rtol=1e-4)


@prop("7.3", "induction: several earlier places, and planted heads")
def several(previous_token_score: Any, attention_sink_score: Any, induction_score: Any, ablation_effects: Any) -> None:
    ids = torch.tensor([1, 2, 1, 3, 1])  # the last 1 stood at 0 and 2: followers 1 and 3
    weights = _maps(n=5, seed=1)
    want = float(weights[2, 1] + weights[4, 1] + weights[4, 3]) / 2
    got = _number(induction_score(weights, ids), "induction_score")
    expect(abs(got - float(weights[2, 1] + weights[4, 3]) / 2) > 1e-4,
           "A token that stood at two earlier places has two followers; you counted the latest only. Add both weights up.")
    expect(abs(got - float(weights[2, 1] + weights[4, 1]) / 2) > 1e-4,
           "A token that stood at two earlier places has two followers; you counted the first only. Add both weights up.")
    expect(abs(got - float(weights[2, 1] + weights[4, 1] + weights[4, 3]) / 3) > 1e-4,
           "You averaged over pairs; the weights of one query are added up, and the mean is over queries.")
    expect_close(got, want, "With a token at two earlier places, the query's share is the sum of both followers' weights.", rtol=1e-4)
    twin = torch.tensor([4, 4])
    expect_close(_number(induction_score(torch.tensor([[1.0, 0], [0.3, 0.7]]), twin), "induction_score"), 0.7,
                 "In A A the follower of the first A is key 1, the query's own place.", rtol=1e-4)
    block = torch.tensor([11, 4, 9, 2, 7, 3])
    twice = torch.cat([block, block])
    copy = torch.eye(12)
    for i in range(6, 12):
        copy[i] = torch.eye(12)[i - 5]
    expect_close(_number(induction_score(copy, twice), "induction_score"), 1.0,
                 "A head planted to look at the follower of each repeated token has the score 1.", rtol=1e-4)
    expect_raises(ValueError, lambda: induction_score(_maps(n=4, seed=2), torch.tensor([1, 2, 3, 4])),
                  "With four different tokens there is nothing to continue: ValueError.")


@prop("7.3", "all maps at once, and inputs as they were")
def batched(previous_token_score: Any, attention_sink_score: Any, induction_score: Any, ablation_effects: Any) -> None:
    weights, ids = _maps(3, 2, n=8, seed=3), torch.tensor([3, 1, 4, 1, 5, 3, 1, 5])
    scores = {"previous_token_score": previous_token_score, "attention_sink_score": attention_sink_score,
              "induction_score": lambda w: induction_score(w, ids)}
    for name, score in scores.items():
        with untouched(weights=weights, ids=ids):
            got = expect_tensor(score(weights), name, (3, 2), hint="Leading axes (layers, heads, …) stay: one score for each map.")
        alone = torch.stack([torch.stack([torch.as_tensor(score(one)) for one in row]) for row in weights])
        expect_close(got.detach(), alone.detach(), f"{name} of six maps at once differs from one map at a time.", rtol=1e-4, atol=1e-6)


@prop("7.3", "ablation: one head at a time")
@one_thread
def ablation(previous_token_score: Any, attention_sink_score: Any, induction_score: Any, ablation_effects: Any) -> None:
    worth = torch.tensor([[0.5, -0.25, 1.0], [0.0, 2.0, -1.0]])
    seen: list[Tensor] = []

    def loss(mask: Tensor) -> float:
        expect(isinstance(mask, Tensor) and tuple(mask.shape) == (2, 3),
               f"loss got {type(mask).__name__} {tuple(getattr(mask, 'shape', ()))}; head_mask is a tensor (num_layers, num_heads).")
        seen.append(mask.clone())
        return 3.0 + float(((1 - mask) * worth).sum())

    heads = [(0, 2), (1, 1), (0, 1)]
    got = expect_tensor(ablation_effects(loss, heads, 2, 3), "ablation_effects", (3,), hint="One number for each head given.")
    off = [int((m == 0).sum()) for m in seen]
    expect(max(off) > 0, "No pass had a head switched off: put a 0 at [layer, head] of the mask.")
    expect(all(bool(((m == 0) | (m == 1)).all()) for m in seen), "The mask should hold ones, and a single 0.")
    expect(not any(m.sum() == 1 for m in seen), "You kept one head and switched the others off; it is the other way round.")
    expect(max(off) == 1, f"Up to {max(off)} heads were off at the same time: a head that was switched off before stayed off. Start each "
                          f"from a new mask of ones.")
    expect(not torch.allclose(got.double(), 3 + torch.tensor([1.0, 2.0, -0.25]).double()),
           "You gave the losses themselves; subtract the loss with all heads on.")
    expect(not torch.allclose(got.double(), -torch.tensor([1.0, 2.0, -0.25]).double()),
           "Your signs are turned round: loss without the head minus loss with all heads.")
    expect_close(got.detach(), [1.0, 2.0, -0.25], "Without these heads the loss rises by 1, by 2, and falls by 0.25.", rtol=1e-4, atol=1e-5)
    expect(len(seen) <= 2 * len(heads), f"{len(seen)} passes for {len(heads)} heads: one each, and one with all heads on.")
