"""SmolLM2 against transformers' LlamaForCausalLM, whose weights are read from the same GGUF file by another way."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from torch.nn import functional

from aieng.data.corpus import load_corpus
from aieng.models import smollm2 as module
from aieng.models.smollm2 import compare, smollm2
from aieng.models.weights import ensure
from aieng.transformer.positions import apply_rope


def reference_model(path):
    """transformers' own class, filled from the file with gguf's table of names and its permutation undone."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, vocab_size=49152,
        max_position_embeddings=8192, rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
    model = transformers.LlamaForCausalLM(config).eval()
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 30)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            data = np.array(tensors[names.get_name(name.removesuffix(".weight")) + ".weight"])
            for part, heads in (("q_proj", 9), ("k_proj", 3)):
                if part in name:
                    data = data.reshape(heads, 32, 2, 576).swapaxes(1, 2).reshape(data.shape)
            parameter.copy_(torch.from_numpy(data))
    return model


@pytest.fixture(scope="module")
def theirs():
    [path] = ensure("smollm2", progress=False).values()
    return reference_model(path)


@pytest.fixture(scope="module")
def ids(lm):
    return lm.tokenizer.encode("\n\n".join(load_corpus().texts[:60]))[:1030]


TORCHS_OWN = {
    "attention": lambda q, k, v, mask: functional.scaled_dot_product_attention(q, k, v, is_causal=mask is not None),
    "feed_forward": lambda x, gate, up, down: down(functional.silu(gate(x)) * up(x)),
}


def test_logits_equal_transformers_on_a_thousand_positions(lm, theirs, ids):
    windows = torch.tensor(ids[:1024]).view(2, 512)
    with torch.inference_mode():
        expected, ours, same_kernels = theirs(windows).logits, lm.model(windows), lm.with_kernels(**TORCHS_OWN).model(windows)
    # With the two kernels that transformers takes from torch, nothing is left but rounding that other processors may do in another order.
    assert (same_kernels - expected).abs().max() <= 1e-4
    # Ours round differently: against float64 theirs err by 1.7e-4 at the worst, ours by 0.8e-4, where logits reach 40.
    assert (ours - expected).abs().max() <= 2e-4
    assert torch.equal(ours.argmax(-1), expected.argmax(-1))


def test_greedy_text_equals_transformers(lm, theirs):
    for prompt in ("The history of the steam engine", "def fibonacci(n):"):
        ids = torch.tensor([lm.tokenizer.encode(prompt)])
        expected = theirs.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=2)[0, ids.shape[1] :]
        assert lm.generate(prompt, 24, stop_ids=()).new_ids == expected.tolist()


def test_chats_and_streams(lm):
    heard = []
    answer = lm.chat("What is the capital of France?", 20, on_text=heard.append)
    assert answer == "".join(heard) == "The capital of France is Paris."


def test_cached_equals_uncached_on_the_real_weights(lm, ids):
    whole, cache = lm.logits(ids[:40]), lm.model.new_cache(1, 40)
    with torch.inference_mode():
        parts = [lm.model(torch.tensor([ids[:33]]), cache)[0]] + [lm.model(torch.tensor([[i]]), cache)[0] for i in ids[33:40]]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-3, rtol=0)


def test_a_wrong_kernel_runs_and_shows(lm):
    same = compare({"rope": lambda x, positions, theta: apply_rope(x, positions, theta)}, max_new_tokens=3)
    assert same.max_difference == 0 and same.same_top == 1 and same.text == same.reference
    off = compare({"rope": lambda x, positions, theta: apply_rope(x, positions, theta, "interleaved")}, max_new_tokens=8)
    assert off.max_difference > 1 and off.text != off.reference
    assert "largest difference" in str(off) and off.reference in str(off)
    shifted = compare({"rope": lambda x, positions, theta: apply_rope(x, positions + 5, theta)}, max_new_tokens=3)
    assert shifted.max_difference < 1e-3  # only distances count


def test_perplexity(lm, ids):
    scores = lm.logits(ids[:50]).log_softmax(-1)
    expected = float(torch.exp(-scores[:-1].gather(1, torch.tensor(ids[1:50])[:, None]).mean()))
    assert lm.perplexity(ids[:50]) == pytest.approx(expected, rel=1e-5)
    halves = [lm.perplexity(ids[:25]), lm.perplexity(ids[25:50])]
    assert lm.perplexity(ids[:50], window=25) == pytest.approx(float(np.sqrt(halves[0] * halves[1])), rel=1e-5)
    with pytest.raises(ValueError, match="needs two at least"):
        lm.perplexity("")


def test_bfloat16_is_close(lm, ids):
    half = smollm2("bfloat16")
    assert half.perplexity(ids[:300]) == pytest.approx(lm.perplexity(ids[:300]), rel=0.03)


def test_is_loaded_once_and_maps_its_file(lm):
    assert smollm2() is smollm2(progress=False) and smollm2(rope=apply_rope).model.weights is lm.model.weights
    with pytest.raises(ValueError, match="dtype is 'int3'; choose one of float32"):
        smollm2("int3")
    assert module.cache_directory().joinpath("converted").is_dir()


@pytest.mark.parametrize(("call", "message"), [
    (lambda lm: lm.generate("", 3), "the prompt is empty"),
    (lambda lm: lm.logits(""), "no token to continue from"),
    (lambda lm: lm.generate([49152], 3), "token id 49152 is outside the vocabulary, 0 … 49151"),
    (lambda lm: lm.generate([5] * 8193, 3), "8193 tokens, the context holds 8192"),
])
def test_bad_input(lm, call, message):
    with pytest.raises(ValueError, match=message):
        call(lm)


def test_unknown_kernel(lm):
    with pytest.raises(TypeError, match="ropes"):
        smollm2(ropes=apply_rope)


def test_int8_keeps_the_perplexity_and_the_answer(lm, ids):
    packed = smollm2("int8")
    assert packed.perplexity(ids[:400]) == pytest.approx(lm.perplexity(ids[:400]), rel=0.02)
    assert packed.chat("What is the capital of France?", 20) == "The capital of France is Paris."
    with torch.inference_mode():  # the compiled step, token by token: the rounding of activations counts too
        cache = packed.model.new_cache(1, 100)
        steps = torch.cat([packed.model(torch.tensor([[i]]), cache)[0] for i in ids[:100]])
    losses = [functional.cross_entropy(x[:99], torch.tensor(ids[1:100])) for x in (steps, lm.logits(ids[:100]))]
    assert float(losses[0].exp()) == pytest.approx(float(losses[1].exp()), rel=0.02)
    wrong = packed.with_kernels(rope=lambda x, positions, theta: apply_rope(x, positions, theta, "interleaved"))
    assert (wrong.logits(ids[:9]) - packed.logits(ids[:9])).abs().max() > 1
