"""Losses against torch, and the tokens they leave out."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from aieng.training.instructions import render_chat, sft_example
from aieng.training.losses import bigram_probabilities, cross_entropy, perplexity, sft_loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_is_torchs(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(4, 6, 11, generator=generator, dtype=dtype)
    targets = torch.randint(11, (4, 6), generator=generator)
    targets[0, :3] = -100
    want = functional.cross_entropy(logits.reshape(-1, 11), targets.reshape(-1))
    torch.testing.assert_close(cross_entropy(logits, targets), want)
    assert perplexity(logits, targets) == pytest.approx(float(want.exp()), rel=1e-5)
    torch.testing.assert_close(cross_entropy(logits + 1e4, targets), want, rtol=1e-3, atol=1e-3)


def test_gradient_and_errors():
    logits = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, -100, 6, 3, 3])
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, targets), (logits,))
    assert cross_entropy(logits, torch.full((5,), -100)).isnan()
    for bad in (torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 2, 3, 7]), torch.tensor([0, 1, 2, 3, -1])):
        with pytest.raises(ValueError):
            cross_entropy(logits, bad)


def test_bigrams_count_and_smooth():
    table = bigram_probabilities(torch.tensor([0, 1, 0, 1, 0, 2]), 4, 0.0)
    torch.testing.assert_close(table[0], torch.tensor([0, 2 / 3, 1 / 3, 0]))
    torch.testing.assert_close(table[3], torch.full((4,), 0.25))
    smooth = bigram_probabilities(torch.tensor([0, 1, 0, 1, 0, 2]), 4, 1.0)
    torch.testing.assert_close(smooth[0], torch.tensor([1, 3, 2, 1]) / 7)
    assert smooth.dtype == torch.float32
    with pytest.raises(ValueError, match="0 or more"):
        bigram_probabilities(torch.tensor([0, 1]), 2, -1.0)


def test_sft_loss_shifts_and_masks():
    generator = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(3, 8, 9, generator=generator), torch.randint(9, (3, 8), generator=generator)
    labels[:, :4] = -100
    want = functional.cross_entropy(logits[:, :-1].reshape(-1, 9), labels[:, 1:].reshape(-1))
    torch.testing.assert_close(sft_loss(logits, labels), want)
    changed = logits.clone()
    changed[:, :3] = 0
    changed[:, 7] = 0
    torch.testing.assert_close(sft_loss(changed, labels), want)


def test_examples_and_chats():
    assert sft_example([5, 6, 7], [8, 9]) == ([5, 6, 7, 8, 9], [-100, -100, -100, 8, 9])
    assert sft_example([5, 6, 7], [8, 9], 4) == ([5, 6, 7, 8], [-100, -100, -100, 8])
    for arguments in (([1], []), ([1, 2], [3], 2)):
        with pytest.raises(ValueError, match="nothing of the response"):
            sft_example(*arguments)
    with pytest.raises(ValueError, match="at least one"):
        render_chat([])


def test_chat_is_smollm2s_own_template():
    from aieng.models.gguf_file import LlamaFile
    from aieng.models.weights import ensure
    from aieng.text.chat_template import render_chat as by_template

    [path] = ensure("smollm2").values()
    template = LlamaFile(path).tokenizer().chat_template
    for chat in ([{"role": "user", "content": " Hi\n"}], [{"role": "system", "content": "S"}, {"role": "user", "content": "{{ x }}"}]):
        for prompt in (False, True):
            assert render_chat(chat, prompt) == by_template(template, chat, prompt)
