"""LoRA: nothing changes at the start, only A and B train, and merging gives the same function."""

import pytest
import torch
from torch import nn

from aieng.quantization.nf4 import NF4Weight
from aieng.training.lora import LoRALinear, NF4Linear


def test_starts_as_the_base_and_trains_only_its_own():
    torch.manual_seed(0)
    base = nn.Linear(20, 12)
    before, x = base.weight.detach().clone(), torch.randn(3, 5, 20)
    expected = base(x).detach()
    layer = LoRALinear(base, rank=3, alpha=6.0, seed=1)
    assert torch.equal(layer(x), expected)
    trainable = [p for p in layer.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trainable) == 3 * (20 + 12)
    optimizer = torch.optim.Adam(trainable, lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        (layer(x) ** 2).sum().backward()
        optimizer.step()
    assert torch.equal(base.weight, before) and base.weight.grad is None
    assert not torch.allclose(layer(x), expected)
    merged = x @ layer.merged_weight().T + base.bias
    assert torch.allclose(layer(x), merged, atol=1e-5)
    assert torch.linalg.matrix_rank(layer.merged_weight() - before) <= 3


def test_scaling_and_seed():
    base = nn.Linear(6, 4, bias=False)
    one, two = LoRALinear(base, 2, alpha=2.0, seed=3), LoRALinear(base, 2, alpha=8.0, seed=3)
    assert torch.equal(one.lora_A, two.lora_A) and not torch.equal(one.lora_A, LoRALinear(base, 2, seed=4).lora_A)
    for layer in (one, two):
        nn.init.ones_(layer.lora_B)
    x = torch.randn(5, 6)
    assert torch.allclose(two(x) - base(x), 4 * (one(x) - base(x)), atol=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match="rank=0"):
        LoRALinear(nn.Linear(3, 5), rank=0)
    with pytest.raises(ValueError, match="1 to 3"):
        LoRALinear(nn.Linear(3, 5), rank=4)


def test_over_a_weight_in_nf4():
    w = torch.randn(24, 64, generator=torch.Generator().manual_seed(0)) * 0.1
    base = NF4Linear(NF4Weight.from_float(w))
    layer, x = LoRALinear(base, 4), torch.randn(3, 64)
    assert torch.equal(layer(x), x @ base.weight.T) and (base.weight - w).abs().max() < 0.05
    layer(x).sum().backward()
    assert layer.lora_B.grad.abs().sum() > 0
    assert sum(p.numel() for p in layer.parameters() if p.requires_grad) == 4 * (24 + 64)
