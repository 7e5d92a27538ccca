"""5.4 measured: NF4 beside INT4 on real weights, and QLoRA beside LoRA on SmolLM2's last blocks."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from aieng.data.corpus import load_corpus
from aieng.figures.tradeoffs import lines, paired_bars
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.quantized import projection_names, rounded
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.quantization.integer import dequantize, quantize_absmax
from aieng.quantization.nf4 import NF4Weight
from aieng.training.lora import NF4Linear
from aieng.transformer.llama import Llama

NAMES = {"lora": "LoRA over float32", "tail": "QLoRA, trained blocks in NF4", "qlora": "QLoRA, all blocks in NF4"}
PACKED = {"lora": (False, False), "tail": (True, False), "qlora": (True, True)}  # in NF4: (the trained blocks, those before)


@experiment
def nf4_against_int4(nf4_levels: Any, quantize_nf4: Any, weights: dict[str, Tensor]) -> Finding:
    """Relative error of 4 bits in blocks of 64: the learner's NF4, and INT4 absmax; the numbers: `nf4`, `int4`, one per weight."""
    levels = nf4_levels()
    nf4, int4 = [], []
    for weight in weights.values():
        blocks = weight.reshape(-1, 64)
        codes, absmax = quantize_nf4(weight, 64)
        nf4.append(float((levels[codes.long()] * absmax[:, None] - blocks).norm() / blocks.norm()))
        int4.append(float((dequantize(*quantize_absmax(blocks, 1, bits=4)) - blocks).norm() / blocks.norm()))
    sentence = "Relative rounding error, blocks of 64: " + "; ".join(
        f"{name}: NF4 {a:.1%}, INT4 absmax {b:.1%}" for name, a, b in zip(weights, nf4, int4)) + "."
    who = whose(nf4_levels, quantize_nf4, alone=True)
    figure = paired_bars(list(weights), {f"NF4 ({who})": nf4, "INT4 absmax": int4}, "Four bits, two code books", "relative rounding error")
    return Finding(sentence, figure, {"nf4": nf4, "int4": int4})


class _Plain(nn.Module):
    """A linear layer over a weight as it is."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight
        self.out_features, self.in_features = weight.shape

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def _instructions(lm: SmolLM2, count: int, offset: int) -> tuple[Tensor, Tensor]:
    """Padded ids and targets (count, tokens): "what kind of thing is …?" with the passage's category as the answer; -100 is left out."""
    passages = [p for p in load_corpus().passages if len(p.text) < 140][offset :: 29][:count]
    ids, answers = [], []
    for p in passages:
        prompt = lm.chat_ids([{"role": "user", "content": f"What kind of thing is this? Answer with one word.\n{p.text}"}])
        answer = [*lm.tokenizer.encode(p.category), lm.stop_id]
        ids.append(prompt + answer)
        answers.append(len(answer))
    longest = max(map(len, ids))
    padded, targets = torch.full((len(ids), longest), lm.stop_id), torch.full((len(ids), longest), -100)
    for i, (row, n) in enumerate(zip(ids, answers)):
        padded[i, : len(row)] = torch.tensor(row)
        targets[i, len(row) - n - 1 : len(row) - 1] = torch.tensor(row[-n:])
    return padded, targets


@torch.no_grad()
def _entering(model: Llama, ids: Tensor, blocks: int) -> Tensor:
    """What the last `blocks` blocks get: the frozen part of the model runs once."""
    mask = torch.full((ids.shape[1], ids.shape[1]), -torch.inf).triu(1)
    arguments = {"positions": torch.arange(ids.shape[1]), "mask": mask, "cache": None, "on_attention": None, "head_mask": None}
    rows = []
    for part in ids.split(16):
        x = F.embedding(part, model.embedding)
        for block in model.blocks[: len(model.blocks) - blocks]:
            x = block(x, **arguments)
        rows.append(x)
    return torch.cat(rows)


@dataclasses.dataclass(frozen=True)
class Examples:
    """x : what enters the trained blocks, (examples, tokens, hidden_size); targets : (examples, tokens), -100 is left out. Twice."""

    x: Tensor
    targets: Tensor
    test_x: Tensor
    test_targets: Tensor


def prepare(lm: SmolLM2, packed: bool, *, blocks: int, examples: int, test_examples: int) -> Examples:
    """Run the frozen blocks, whose weights are rounded to NF4 with `packed`, over the training and the held-out questions."""
    base = rounded(lm, lambda w: NF4Weight.from_float(w).dequantize()) if packed else lm
    ids, targets = _instructions(lm, examples, 0)
    test_ids, test_targets = _instructions(lm, test_examples, 7)
    return Examples(_entering(base.model, ids, blocks), targets, _entering(base.model, test_ids, blocks), test_targets)


def fine_tune(
    lora_linear: Any, lm: SmolLM2, packed: bool, data: Examples, *, blocks: int, steps: int, rank: int, learning_rate: float, seed: int,
    look_at: Sequence[int] = (10, 30, 60, 100),
) -> dict[str, Any]:
    """Train LoRA on the last blocks, at a learning rate that falls to 0 in a line; with `packed` their weights are NF4.

    Returns losses (one per step), `held_out` ({step: loss on other examples}, at the steps to look at and at the last), the first and the
    last of them as `before` and `after`, trained parameters and bytes of base and adapters, seconds.
    """
    layers = range(lm.config.num_hidden_layers - blocks, lm.config.num_hidden_layers)
    adapters: list[nn.Module] = []

    def linear(*weights: Tensor) -> Any:
        parts = [NF4Linear(NF4Weight.from_float(w)) if packed else _Plain(w) for w in weights]
        adapted = [lora_linear(part, rank=rank, alpha=2.0 * rank, seed=seed + len(adapters) + i) for i, part in enumerate(parts)]
        adapters.extend(adapted)
        return lambda x: torch.cat([layer(x) for layer in adapted], dim=-1)

    short = dataclasses.replace(lm.config, num_hidden_layers=blocks)
    weights = dict(lm.model.weights)  # only the last blocks' weights are used below, under the numbers of a short model
    for new, old in enumerate(layers):
        weights |= {name.replace(f"layers.{old}.", f"layers.{new}."): w for name, w in lm.model.weights.items() if f"layers.{old}." in name}
    plain = lm.model.kernels
    tail = Llama(short, weights,
                 dataclasses.replace(plain, linear=lambda *w: _frozen(*w) if w[0] is weights["model.embed_tokens.weight"] else linear(*w)))
    parameters = [p for layer in adapters for p in layer.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=steps)

    def loss_of(x: Tensor, targets: Tensor) -> Tensor:
        tokens = x.shape[1]
        mask = torch.full((tokens, tokens), -torch.inf).triu(1)
        for block in tail.blocks:
            x = block(x, positions=torch.arange(tokens), mask=mask, cache=None, on_attention=None, head_mask=None)
        trained = targets >= 0
        return F.cross_entropy(tail.output(tail.final_norm(x[trained])), targets[trained])

    @torch.no_grad()
    def on_others() -> float:
        return float(loss_of(data.test_x, data.test_targets))

    started = time.perf_counter()
    order = torch.Generator().manual_seed(seed)
    held_out = {0: on_others()}
    losses = []
    for step in tqdm(range(1, steps + 1), desc="QLoRA" if packed else "LoRA", unit="step", leave=False):
        rows = torch.randperm(len(data.x), generator=order)[:8]
        optimizer.zero_grad()
        loss = loss_of(data.x[rows], data.targets[rows])
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step in look_at or step == steps:
            held_out[step] = on_others()
    trained = sum(p.numel() for p in parameters)
    numbers = sum(lm.model.weights[name].numel() for name in projection_names(lm.config))
    per_weight = NF4Weight.from_float(lm.model.weights[projection_names(lm.config)[0]]).nbytes * 8 / (576 * 576) if packed else 32
    return {"losses": losses, "held_out": held_out, "before": held_out[0], "after": held_out[steps], "trained": trained,
            "base_bytes": numbers * per_weight / 8, "adapter_bytes": 16 * trained, "seconds": time.perf_counter() - started}


def _frozen(*weights: Tensor) -> Any:
    return lambda x: torch.cat([x @ w.mT for w in weights], dim=-1)


@experiment
def qlora(lora_linear: Any, *, blocks: int = 2, steps: int | None = None, rank: int = 8, seed: int = 0) -> Finding:
    """LoRA over float32 weights and over NF4 weights, on a small set of questions about WordNet's passages.

    The numbers: what `fine_tune` returns, as `lora` (float32 everywhere), `tail` (the trained blocks in NF4, those before in float32) and
    `qlora` (NF4 everywhere); `tail_gap` and `gap`: how far the last two's held-out losses are from the first's, relatively.
    """
    lm = smollm2()
    steps = steps or (6 if quick() else 30)
    examples = 8 if quick() else 48
    data = {packed: prepare(lm, packed, blocks=blocks, examples=examples, test_examples=examples // 2) for packed in (False, True)}
    runs = {name: fine_tune(lora_linear, lm, packed, data[before], blocks=blocks, steps=steps, rank=rank, learning_rate=2e-3, seed=seed)
            for name, (packed, before) in PACKED.items()}
    a, tail, b = runs["lora"], runs["tail"], runs["qlora"]
    count = lm.config.num_hidden_layers
    gaps = {"tail_gap": tail["after"] / a["after"] - 1, "gap": b["after"] / a["after"] - 1}
    sentence = (
        f"Loss on {examples // 2} questions that were not trained on, after {steps} steps: {a['before']:.2f} → {a['after']:.2f} with LoRA "
        f"over float32; {tail['before']:.2f} → {tail['after']:.2f} with the trained blocks in NF4 ({gaps['tail_gap']:+.1%}); "
        f"{b['before']:.2f} → {b['after']:.2f} with all blocks in NF4 ({gaps['gap']:+.1%}: the rounding of the {count - blocks} blocks "
        f"before has to be made up for, too). Trained: {a['trained']:,} numbers in the last {blocks} blocks, {a['seconds']:.0f}, "
        f"{tail['seconds']:.0f} and {b['seconds']:.0f} s. Memory for all {count} blocks' weights: {a['base_bytes'] / 1e6:.0f} MB in "
        f"float32, {b['base_bytes'] / 1e6:.0f} MB in NF4; the adapters, their gradients and Adam's two averages add "
        f"{a['adapter_bytes'] / 1e6:.1f} MB to either. Training all of those weights in float32 would need "
        f"{4 * a['base_bytes'] / 1e6:,.0f} MB for the same.")
    figure = lines({NAMES[name]: (range(1, steps + 1), run["losses"]) for name, run in runs.items()},
                   "Fine-tuning on four bits", "step", "loss of the step's 8 examples (nats)")
    return Finding(sentence, figure, {**runs, **gaps})
