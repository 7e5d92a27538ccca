"""The model as one function against transformers' LlamaForCausalLM, on random weights and on SmolLM2's; the notebook's answer, too."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from aieng.transformer.assembly import llama_logits
from aieng.transformer.llama import Llama, LlamaConfig, init_weights
from autograder import notebooks

CONFIG = LlamaConfig(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, vocab_size=50,
                     head_dim=8, rope_theta=500.0, rms_norm_eps=1e-5, max_position_embeddings=64)


def from_the_notebook():
    """The solution cell of 3.4, run as it stands there."""
    names = {"math": math, "torch": torch, "__name__": "__main__"}  # as in a notebook
    exec(notebooks.load_exercise("3.4").solution, names)
    return names["llama_logits"]


def transformers_model(config, weights):
    transformers = pytest.importorskip("transformers")
    sizes = {k: v for k, v in dataclasses.asdict(config).items() if k != "rope_theta"}
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **sizes, rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta}))
    missing, unexpected = theirs.load_state_dict(dict(weights), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    return theirs.eval()


@pytest.mark.parametrize("assembled", [llama_logits, from_the_notebook()], ids=["helper", "notebook"])
@pytest.mark.parametrize("tied", [True, False])
def test_equals_transformers_on_random_weights(assembled, tied):
    config = dataclasses.replace(CONFIG, tie_word_embeddings=tied)
    weights = init_weights(config, seed=3, std=0.3, requires_grad=False)
    ids = torch.randint(50, (3, 17), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = transformers_model(config, weights)(ids).logits
        torch.testing.assert_close(assembled(ids, weights, config), expected, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(Llama(config, weights)(ids), expected, atol=2e-5, rtol=1e-5)


def test_the_notebooks_assembly_equals_transformers_on_smollm2(lm):
    ids = torch.tensor([lm.tokenizer.encode("The lighthouse keeper climbed the ninety-nine steps and lit the lamp.")])
    with torch.inference_mode():
        expected = transformers_model(lm.config, lm.model.weights)(ids).logits
        mine = from_the_notebook()(ids, lm.model.weights, lm.config)
    assert float((mine - expected).abs().max()) < 1e-3
    assert torch.equal(mine.argmax(-1), expected.argmax(-1))
