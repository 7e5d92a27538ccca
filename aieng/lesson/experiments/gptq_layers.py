"""5.3 measured: GPTQ beside round-to-nearest on SmolLM2's own layers, calibrated on one text and tested on another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aieng.data.corpus import load_corpus
from aieng.figures.tradeoffs import paired_bars
from aieng.lesson.environment import quick
from aieng.lesson.experiments.integer_weights import heldout_ids
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.quantized import hessians, projection_names, rounded, with_weights
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.quantization.integer import dequantize_groups, quantize_groups


def calibration_ids(lm: SmolLM2, sequences: int, tokens: int) -> Tensor:
    """(sequences, tokens) of WordNet's definitions, another text than the held-out one."""
    ids = lm.tokenizer.encode("\n\n".join(load_corpus().texts[::6]))
    return torch.tensor(ids[: sequences * tokens]).view(sequences, tokens)


@experiment
def one_block(gptq: Any, *, layer: int = 2, group_size: int = 64) -> Finding:
    """Output error of the seven matrices of one block, on held-out text, relative to the outputs' own size.

    The numbers: `nearest` and `gptq`, {bits: [one per matrix]}; `ratio` {bits: mean of gptq / nearest}.
    """
    lm = smollm2()
    sequences = 2 if quick() else 8
    seen = hessians(lm, calibration_ids(lm, sequences, 256), layer)
    fresh = hessians(lm, torch.tensor(heldout_ids(lm, sequences * 256)).view(sequences, 256), layer)
    names = projection_names(lm.config, [layer])
    nearest: dict[int, list[float]] = {4: [], 3: []}
    mine: dict[int, list[float]] = {4: [], 3: []}
    for name in names:
        weight, h = lm.model.weights[name], fresh[name]
        size = float(((weight @ h) * weight).sum())
        for bits in (4, 3):
            codes = ((nearest, quantize_groups(weight, bits, group_size)), (mine, gptq(weight, seen[name], bits, group_size)))
            for found, other in codes:
                change = dequantize_groups(*other) - weight
                found[bits].append(float(((change @ h) * change).sum()) / size)
    ratio = {bits: sum(m / n for m, n in zip(mine[bits], nearest[bits])) / len(names) for bits in (4, 3)}
    labels = [name.split(".")[-2].removesuffix("_proj") for name in names]
    who = whose(gptq)
    sentence = (f"Block {layer}, calibrated on {sequences * 256:,} tokens of WordNet, tested on as many of The Devil's Dictionary: the "
                f"squared output error of "
                f"{who} GPTQ is {ratio[4]:.2f} times round-to-nearest's at 4 bits and {ratio[3]:.2f} times at 3 bits, averaged over the "
                f"seven matrices.")
    figure = paired_bars(labels,
                         {"round to nearest, 3 bits": nearest[3], f"{who} GPTQ, 3 bits": mine[3], "round to nearest, 4 bits": nearest[4],
                                  f"{who} GPTQ, 4 bits": mine[4]}, "Output error of the layers of one block",
                         "squared error / squared output")
    return Finding(sentence, figure, {"nearest": nearest, "gptq": mine, "ratio": ratio})


@experiment
def some_blocks(gptq: Any, *, bits: int = 3, group_size: int = 64, layers: tuple[int, ...] = (4, 10, 16, 22)) -> Finding:
    """Four blocks of SmolLM2 rounded to 3 bits: how far the next-token probabilities move, and the perplexity.

    The numbers: `nearest` and `gptq`, mean KL(float32 ‖ rounded) in nats per token; `perplexity` {"float32", "nearest", "gptq"}.
    """
    lm = smollm2()
    layers = layers[:1] if quick() else layers
    ids = heldout_ids(lm, 128 if quick() else 512)
    calibration = calibration_ids(lm, 2 if quick() else 8, 256)
    changed: dict[str, Tensor] = {}
    for layer in layers:
        h = hessians(lm, calibration, layer)
        changed |= {name: dequantize_groups(*gptq(lm.model.weights[name], h[name], bits, group_size)) for name in h}
    nearest = rounded(lm, lambda w: dequantize_groups(*quantize_groups(w, bits, group_size)), layers)
    found: dict[str, Any] = {}
    truth = lm.logits(ids).log_softmax(-1)
    perplexity = {"float32": lm.perplexity(ids, len(ids))}
    for name, other in (("nearest", nearest), ("gptq", with_weights(lm, changed))):
        log_probs = other.logits(ids).log_softmax(-1)
        found[name] = float((truth.exp() * (truth - log_probs)).sum(-1).mean())
        target = torch.tensor(ids[1:])
        perplexity[name] = float(torch.exp(-log_probs[:-1].gather(1, target[:, None]).mean()))
    sentence = (f"With blocks {', '.join(map(str, layers))} of 30 at {bits} bits, the probabilities of the next token move by "
                f"{found['nearest']:.3f} nats a token "
                f"(KL divergence) under round-to-nearest and by {found['gptq']:.3f} under {whose(gptq)} GPTQ, on {len(ids)} tokens. "
                f"The perplexity goes from {perplexity['float32']:.1f} to {perplexity['nearest']:.1f} and {perplexity['gptq']:.1f}; "
                "on so short a text that is a noisier measure. (Measured now. All 30 blocks take some minutes; the next cell shows that "
                "measurement, which was made for the course.)")
    return Finding(sentence, None, {**found, "perplexity": perplexity})
