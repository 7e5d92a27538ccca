"""The assembled encoder against transformers' BertModel with random weights."""

from __future__ import annotations

import pytest
import torch

from aieng.transformer.encoder import BertConfig, BertEncoder, mean_pool, unit_rows

SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "intermediate_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 12,
    "layer_norm_eps": 1e-7,
}


@pytest.fixture(scope="module")
def bert():
    transformers = pytest.importorskip("transformers")
    model = transformers.BertModel(transformers.BertConfig(**SIZES), add_pooling_layer=False).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


@torch.no_grad()
def test_equals_transformers(bert):
    ours = BertEncoder(bert.state_dict(), BertConfig.from_dict(bert.config.to_dict()))
    ids = torch.randint(50, (3, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    expected = bert(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours(ids, mask)[mask == 1], expected[mask == 1], atol=1e-5, rtol=0)
    torch.testing.assert_close(ours(ids[:, :1]), bert(input_ids=ids[:, :1]).last_hidden_state, atol=1e-5, rtol=0)


def test_refuses_what_it_cannot_compute(bert):
    config = BertConfig(**SIZES)
    encoder = BertEncoder(bert.state_dict(), config)
    with pytest.raises(ValueError, match="13 tokens, but positions end at 12"):
        encoder(torch.zeros(1, 13, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(batch, tokens\)"):
        encoder(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"tensor 'embeddings\.word_embeddings\.weight' is missing"):
        BertEncoder({}, config)
    with pytest.raises(ValueError, match=r"the config says \(51, 24\)"):
        BertEncoder(bert.state_dict(), BertConfig(**{**SIZES, "vocab_size": 51}))
    with pytest.raises(ValueError, match="hidden_act='relu'"):
        BertConfig.from_dict({**SIZES, "hidden_act": "relu"})
    with pytest.raises(ValueError, match="config lacks vocab_size, hidden_size"):
        BertConfig.from_dict({name: value for name, value in SIZES.items() if name not in ("vocab_size", "hidden_size")})


def test_mean_pool_leaves_padding_out():
    vectors = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[5.0, 5.0], [7.0, 7.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert mean_pool(vectors, mask).tolist() == [[2.0, 4.0], [0.0, 0.0]]


def test_unit_rows():
    torch.testing.assert_close(unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]])), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
