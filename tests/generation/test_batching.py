"""Serving many requests gives each the tokens that it gets alone, whatever the pool, the order and the sharing."""

from __future__ import annotations

import itertools

import pytest
import torch

from aieng.generation.batching import PagedEngine, Request, beam_search, continuous_batching, static_batching
from aieng.generation.decoding import generate
from aieng.transformer.llama import Llama, LlamaConfig, init_weights
from aieng.transformer.paged_cache import BlockTable

CONFIG = LlamaConfig(hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, vocab_size=40,
                     head_dim=4, max_position_embeddings=128)


@pytest.fixture(scope="module")
def model():
    # Larger weights than for training, so that greedy paths differ between prompts.
    return Llama(CONFIG, {name: 8 * w.detach() if w.ndim == 2 else w.detach() for name, w in init_weights(CONFIG, 0).items()})


def requests(n=11, seed=0, stop=()):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 25, (n, 2), generator=generator).tolist()
    return [Request(torch.randint(0, 40, (a,), generator=generator).tolist(), b, stop) for a, b in lengths]


def alone(model, request):
    return generate(model, request.prompt, request.max_new_tokens)


@pytest.mark.parametrize(("blocks", "block_size", "max_running"), [(64, 4, 4), (64, 4, 11), (13, 4, 11), (60, 1, 5), (4, 16, 3)])
def test_each_request_gets_its_own_tokens(model, blocks, block_size, max_running):
    asked = requests()
    engine = PagedEngine(model, blocks, block_size)
    steps = continuous_batching(asked, engine, max_running)
    assert [r.output for r in asked] == [alone(model, r) for r in asked]
    assert engine.allocator.num_free == blocks and not engine.tables
    assert steps >= max(r.max_new_tokens for r in asked)


def test_preempted_requests_are_computed_again(model):
    roomy, tight = PagedEngine(model, 64, 4), PagedEngine(model, 14, 4)
    for engine in (roomy, tight):
        continuous_batching(requests(), engine, 11)
    assert roomy.computed == sum(len(r.prompt) - 1 + r.max_new_tokens for r in requests())
    assert tight.computed > roomy.computed


@pytest.mark.parametrize("most", [1, 3, 17])
def test_prompts_go_through_in_pieces_beside_the_steps_of_others(model, most):
    asked = requests()
    engine = PagedEngine(model, 64, 4, max_prompt_tokens=most)
    continuous_batching(asked, engine, 4)
    assert [r.output for r in asked] == [alone(model, r) for r in asked]
    assert engine.computed == sum(len(r.prompt) - 1 + r.max_new_tokens for r in asked)


def test_a_prompt_costs_no_pass_of_its_own(model):
    passes = []

    class Counted(Llama):
        def __call__(self, ids, *args, **kwargs):
            passes.append(ids.shape)
            return super().__call__(ids, *args, **kwargs)

    steps = continuous_batching(requests(), PagedEngine(Counted(CONFIG, model.weights), 64, 4), 4)
    assert len(passes) == steps


def test_a_prompt_that_others_share_is_computed_before_its_owner_leaves(model):
    first, second = (Request([*range(12), i], 5) for i in (20, 21))
    engine = PagedEngine(model, 64, 4)
    assert engine.start(first) and engine.start(second)
    engine.release(first)
    for _ in range(5):
        second.output += engine.step([second])
    assert second.output == alone(model, second)


def test_a_stop_token_ends_a_request_and_frees_its_place(model):
    asked = requests(stop=(7, 11, 23))
    continuous_batching(asked, PagedEngine(model, 64, 4), 4)
    for request in asked:
        full = alone(model, request)
        want = list(itertools.takewhile(lambda t: t not in (7, 11, 23), full))
        assert request.output == full[: len(want) + 1]


def test_a_shared_prompt_is_stored_and_computed_once(model):
    prompt = list(range(30))
    asked = [Request([*prompt, i], 4) for i in range(5)]
    engine = PagedEngine(model, 64, 4)
    assert all(engine.start(r) for r in asked)
    assert engine.allocator.num_blocks - engine.allocator.num_free == 7 + 5  # 28 tokens shared, 2 of each its own
    assert engine.computed == 0 and engine.used_tokens == 28 + 5 * 2
    engine.step(asked)
    assert engine.computed == 30 + 4 * 2 + 5 and engine.used_tokens == 28 + 5 * 3
    for request in asked:
        engine.release(request)
    continuous_batching(asked, engine, 5)
    assert [r.output for r in asked] == [alone(model, r) for r in asked]


def test_static_batching_gives_the_same_tokens_in_more_passes(model):
    padded, asked = requests(), requests()
    passes = static_batching(model, padded, 4)
    assert [r.output for r in padded] == [alone(model, r) for r in padded]
    assert continuous_batching(asked, PagedEngine(model, 64, 4), 4) < passes


def test_forks_of_one_prompt_diverge_without_disturbing_each_other(model):
    engine = PagedEngine(model, 20, 4)
    first = Request(list(range(6)), 9)
    assert engine.start(first)
    twins = [Request([*list(range(5)), i], 9) for i in (11, 12)]
    for twin in twins:
        engine.fork(first, twin)
    for _ in range(9):
        for request, token in zip((first, *twins), engine.step((first, *twins))):
            request.output.append(token)
    assert [r.output for r in (first, *twins)] == [alone(model, r) for r in (first, *twins)]


def test_beam_search_finds_what_scoring_whole_sequences_finds(model):
    engine = PagedEngine(model, 64, 4)
    prompt = [3, 1, 4, 1, 5, 9, 2, 6]
    found = beam_search(engine, prompt, 40, 2)
    assert engine.allocator.num_free == 64
    pairs = torch.cartesian_prod(torch.arange(40), torch.arange(40))
    ids = torch.cat([torch.tensor(prompt).expand(len(pairs), -1), pairs], 1)
    scores = torch.log_softmax(model(ids).detach(), -1)
    exact = scores[:, 7].gather(1, pairs[:, :1]) + scores[:, 8].gather(1, pairs[:, 1:])
    assert found[0][1] == pairs[exact.argmax()].tolist()
    assert found[0][0] == pytest.approx(float(exact.max()), abs=1e-4)
    assert [s for s, _ in found] == sorted((s for s, _ in found), reverse=True)


def test_what_does_not_fit_is_said(model):
    with pytest.raises(MemoryError, match="alone"):
        continuous_batching([Request([1] * 10, 30)], PagedEngine(model, 4, 4), 2)
    with pytest.raises(ValueError, match="context"):
        PagedEngine(model, 64, 4).start(Request([1] * 100, 30))
    with pytest.raises(ValueError, match="max_prompt_tokens is 0"):
        PagedEngine(model, 64, 4, max_prompt_tokens=0)
    with pytest.raises(MemoryError, match="prompt"):
        beam_search(PagedEngine(model, 2, 4), [1] * 20, 2, 3)


def test_smallest_cases(model):
    one = Request([5], 1)
    assert continuous_batching([one], PagedEngine(model, 2, 4), 1) == 1
    assert one.output == alone(model, one)
    assert continuous_batching([], PagedEngine(model, 2, 4), 1) == 0


def test_a_table_of_ones_own_is_used(model):
    class Counting(BlockTable):
        made = 0

        def __init__(self, *args):
            Counting.made += 1
            super().__init__(*args)

    continuous_batching([Request([1, 2], 3)], PagedEngine(model, 8, 4, table=Counting), 1)
    assert Counting.made == 1
