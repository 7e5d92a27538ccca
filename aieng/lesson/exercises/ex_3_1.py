"""3.1 Positions, sinusoidal and learned: visible properties and hints."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal

hints(
    "3.1",
    "Row p of the table is one moment of dim/2 clocks: clock i has turned by p · 10000^(−2i/dim) radians. Which two numbers say where a "
    "hand points? For `embed_tokens`, indexing a tensor with a tensor of ids looks all of them up at once.",
    "Make the frequencies (dim/2,) with `torch.arange(0, dim, 2)`, the angles (n, dim/2) with `torch.outer`, then fill an empty table: "
    "the even columns with the sines, the odd columns with the cosines. `token_embeddings[ids]` has the shape of ids plus one axis; the "
    "first `tokens` rows of the position table broadcast onto it.",
    "sinusoidal_positions: refuse n < 0, dim < 2 or odd; frequencies = 10000 ** (−even numbers / dim); angles = outer(positions, "
    "frequencies); table[:, 0::2] = sin, table[:, 1::2] = cos; float32.\n"
    "embed_tokens: refuse more tokens than rows of the position table, and rows of different length; look up the tokens, add rows "
    "0 … tokens − 1 of the positions.",
)


def truth(n: int, dim: int) -> Tensor:
    """The table number by number, from the formula."""
    return torch.tensor([[math.sin(p / 10000 ** (c / dim)) if c % 2 == 0 else math.cos(p / 10000 ** ((c - 1) / dim)) for c in range(dim)]
                         for p in range(n)])


@prop("3.1", "the example by hand")
def by_hand(sinusoidal: Any, embed: Any) -> None:
    got = expect_tensor(sinusoidal(2, 4), "sinusoidal_positions(2, 4)", (2, 4), torch.float32, "(n, dim)")
    expect(not torch.allclose(got[0], torch.tensor([1.0, 0.0, 1.0, 0.0])),
           "Position 0 has the row (0, 1, 0, 1); yours is (1, 0, 1, 0): the sine comes first, then the cosine.")
    expect(not torch.allclose(got[0], torch.tensor([0.0, 0.0, 1.0, 1.0])),
           "Position 0 has the row (0, 1, 0, 1), yours is (0, 0, 1, 1): here sine and cosine of a frequency stand side by side.")
    expect(not torch.allclose(got[0], truth(2, 4)[1], atol=1e-4), "Your first row is that of position 1: positions are counted from 0.")
    expect_close(got[0], [0, 1, 0, 1], "At position 0 all angles are 0, so the row is (0, 1, 0, 1).")
    row = got[1]
    expect(abs(float(row[2]) - math.sin(1)) > 1e-3, "Both pairs of position 1 have the angle 1; the second clock turns 100 times as "
                                                    "slowly, 10000^(−2/4) = 0.01.")
    expect(abs(float(row[2]) - math.sin(1e-4)) > 1e-6, "The second pair has the angle 0.0001; 10000^(−2i/dim) with i = 1, dim = 4 is "
                                                       "0.01. Did you multiply by 2 twice?")
    expect(abs(float(row[2]) - math.sin(0.1)) > 1e-4, "The second pair has the angle 0.1; the exponent is 2i/dim = 2/4, not i/dim = 1/4.")
    expect_close(row, [0.841471, 0.540302, 0.0099998, 0.99995], "Position 1 of dim 4: sin 1, cos 1, sin 0.01, cos 0.01.", 1e-4, 1e-5)


@prop("3.1", "every number follows the formula")
def formula(sinusoidal: Any, embed: Any) -> None:
    for n, dim in ((37, 10), (5, 64), (300, 2)):
        got = expect_tensor(sinusoidal(n, dim), f"sinusoidal_positions({n}, {dim})", (n, dim), torch.float32)
        want = truth(n, dim)
        if dim == 10:
            half = torch.cat((want[:, 0::2], want[:, 1::2]), dim=1)
            expect(not torch.allclose(got, half, atol=1e-4), "All sines stand left and all cosines right; here each sine has its cosine "
                                                             "beside it: columns 2i and 2i + 1.")
            swapped = torch.stack((want[:, 1::2], want[:, 0::2]), dim=-1).flatten(1)
            expect(not torch.allclose(got, swapped, atol=1e-4), "Sine and cosine have changed places: even columns hold sines.")
            own = torch.stack([torch.sin(torch.arange(n) / 10000 ** (c / dim)) if c % 2 == 0
                               else torch.cos(torch.arange(n) / 10000 ** (c / dim)) for c in range(dim)], dim=1)
            expect(not torch.allclose(got, own, atol=1e-4), "Columns 2i and 2i + 1 belong to the same frequency, 10000^(−2i/dim); you "
                                                            "gave each column its own.")
        expect_close(got, want, f"For {n} positions and dim {dim} a number is not that of the formula.", 1e-3, 1e-4)


@prop("3.1", "a shift is a rotation, the same wherever it begins")
def shift(sinusoidal: Any, embed: Any) -> None:
    table = expect_tensor(sinusoidal(60, 16), "sinusoidal_positions(60, 16)", (60, 16)).double()
    products = table @ table.T
    for distance in (1, 5, 20):
        values = products.diagonal(distance)
        expect(float(values.max() - values.min()) < 1e-3, f"Two rows {distance} positions apart should have the same dot product wherever "
                                                          f"they stand; yours go from {float(values.min()):.3f} to "
                                                          f"{float(values.max()):.3f}.")
    expect_close(products.diagonal(), torch.full((60,), 8.0), "Every row has the squared length dim/2: sin² + cos² = 1 for each "
                                                              "pair.", 1e-3)


@prop("3.1", "the token's row plus the position's row")
def lookup(sinusoidal: Any, embed: Any) -> None:
    words, places = normal(1, 11, 6), normal(2, 9, 6)
    ids = torch.tensor([[3, 3, 0, 10], [7, 1, 3, 5]])
    got = expect_tensor(embed(ids, words, places), "embed_tokens(ids, …)", (2, 4, 6), torch.float32,
                        "One vector for each token: (batch, tokens, dim).")
    want = torch.stack([torch.stack([words[i] + places[p] for p, i in enumerate(row)]) for row in ids.tolist()])
    expect(not torch.allclose(got, words[ids]), "No position arrived: your result is the tokens' rows alone.")
    expect(not torch.allclose(got, words[ids] + places[ids.clamp(max=8)]),
           "You looked the position up with the token's id; the row of the position table is the token's *place*, 0, 1, 2, …")
    expect(not torch.allclose(got, words[ids] + places[1:5]), "The first token has place 0, you gave it row 1.")
    expect(not torch.allclose(got, words[ids] * places[:4]), "The two rows are added, not multiplied.")
    expect_close(got, want, "A token's vector is its own row plus the row of its place.")
    expect_close(embed(ids[0], words, places), want[0], "ids (tokens,) without a batch give (tokens, dim).")
    one = embed(torch.tensor([[4]]), words, places)
    expect_close(one, (words[4] + places[0]).view(1, 1, 6), "A single token stands at place 0.")
    full = embed(torch.zeros(1, 9, dtype=torch.int64), words, places)
    expect_close(full[0], words[0] + places, "As many tokens as positions is still allowed.")


@prop("3.1", "the order shows in the positions only")
def order(sinusoidal: Any, embed: Any) -> None:
    words, places = normal(3, 8, 4), normal(4, 6, 4)
    ids = torch.tensor([[2, 5, 1]])
    nowhere = torch.zeros(6, 4)
    expect_tensor(embed(ids, words, nowhere), "embed_tokens(ids, …)", (1, 3, 4))
    expect_close(embed(ids.flip(1), words, nowhere), embed(ids, words, nowhere).flip(1),
                 "With positions of zero, reversed tokens are the same vectors in reversed order.")
    expect(not torch.allclose(embed(ids.flip(1), words, places).flip(1), embed(ids, words, places), atol=1e-3),
           "With real positions a reversed text must not be the same vectors in another order.")


@prop("3.1", "inputs and errors")
def errors(sinusoidal: Any, embed: Any) -> None:
    words, places, ids = normal(5, 8, 4), normal(6, 6, 4), torch.tensor([[1, 2, 3]])
    with untouched(words=words, places=places, ids=ids):
        embed(ids, words, places)
    expect_raises(ValueError, lambda: embed(torch.zeros(1, 7, dtype=torch.int64), words, places),
                  "7 tokens for a table of 6 positions should raise ValueError: this is where absolute positions end.")
    expect_raises(ValueError, lambda: embed(ids, words, places[:, :1]),
                  "Tokens of 4 features and positions of 1 should raise ValueError: torch would stretch the one silently.")
    for n, dim in ((3, 5), (3, 0), (-1, 4)):
        expect_raises(ValueError, partial(sinusoidal, n, dim),
                      f"n = {n}, dim = {dim} should raise ValueError.")
    expect_tensor(sinusoidal(0, 4), "sinusoidal_positions(0, 4)", (0, 4))
