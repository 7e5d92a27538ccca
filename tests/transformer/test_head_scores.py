"""Scores of heads against planted heads and plain loops; ablation against a model whose output matrix was cut."""

import numpy as np
import pytest
import torch

from aieng.transformer.head_scores import ablation_effects, attention_sink_score, induction_score, previous_token_score
from aieng.transformer.llama import Llama, LlamaConfig, init_weights


def maps(*shape, seed=0):
    raw = torch.rand(*shape, shape[-1], generator=torch.Generator().manual_seed(seed)).tril()
    return raw / raw.sum(-1, keepdim=True)


def test_scores_equal_loops():
    weights, ids = maps(2, 3, 9), torch.tensor([4, 1, 4, 4, 2, 1, 9, 4, 2])
    table, tokens = weights.numpy(), ids.tolist()
    np.testing.assert_allclose(previous_token_score(weights), np.mean([table[..., i, i - 1] for i in range(1, 9)], axis=0), rtol=1e-5)
    np.testing.assert_allclose(attention_sink_score(weights), table[..., 1:, 0].mean(-1), rtol=1e-5)
    rows = [sum(table[..., i, p + 1] for p in range(i) if tokens[p] == tokens[i]) for i in range(9) if tokens[i] in tokens[:i]]
    np.testing.assert_allclose(induction_score(weights, ids), np.mean(rows, axis=0), rtol=1e-5)


def test_planted_heads_score_one():
    block = torch.tensor([7, 3, 8, 1, 5])
    copying = torch.eye(10)
    copying[5:] = torch.eye(10)[1:6]
    assert float(induction_score(copying, torch.cat([block, block]))) == pytest.approx(1.0)
    before = torch.eye(10).roll(-1, 1)
    before[0] = torch.eye(10)[0]
    assert float(previous_token_score(torch.eye(10)[[0, *range(9)]])) == pytest.approx(1.0)
    assert float(attention_sink_score(torch.eye(10)[[0] * 10])) == pytest.approx(1.0)


@pytest.mark.parametrize("call", [
    lambda: previous_token_score(torch.ones(3)), lambda: attention_sink_score(torch.ones(2, 3)),
    lambda: previous_token_score(torch.ones(1, 1)),
    lambda: induction_score(torch.eye(3), torch.tensor([1, 1])), lambda: induction_score(torch.eye(3), torch.tensor([1, 2, 3])),
    lambda: ablation_effects(lambda mask: 0.0, [(2, 0)], 2, 4), lambda: ablation_effects(lambda mask: 0.0, [(0, -1)], 2, 4),
])
def test_bad_input(call):
    with pytest.raises(ValueError, match=r"weights|ids|twice|head"):
        call()


def test_ablation_equals_cutting_the_output_matrix():
    config = LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         vocab_size=20)
    tensors = init_weights(config, seed=1, std=0.3, requires_grad=False)
    ids = torch.randint(20, (2, 8), generator=torch.Generator().manual_seed(2))
    model = Llama(config, tensors)
    [effect] = ablation_effects(lambda mask: float(model(ids, head_mask=mask).square().mean()), [(1, 2)], 2, 4)
    cut = {**tensors, "model.layers.1.self_attn.o_proj.weight": tensors["model.layers.1.self_attn.o_proj.weight"].clone()}
    cut["model.layers.1.self_attn.o_proj.weight"][:, 8:12] = 0
    assert float(effect) == pytest.approx(float(Llama(config, cut)(ids).square().mean() - model(ids).square().mean()), rel=1e-3)
    assert ablation_effects(lambda mask: 1.0, [], 2, 4).shape == (0,)


def test_a_loss_that_changes_its_mask_does_no_harm():
    def loss(mask):
        value = float(mask.sum())
        mask.zero_()
        return value

    assert ablation_effects(loss, [(0, 0), (1, 1)], 2, 2).tolist() == [-1.0, -1.0]
