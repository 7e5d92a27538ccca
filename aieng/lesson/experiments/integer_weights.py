"""5.1 and 5.2 measured: what rounding does to SmolLM2, how fast bytes are, and what is in its file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from aieng.data.heldout import load_heldout
from aieng.figures.tradeoffs import lines, paired_bars
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.gguf_file import LlamaFile
from aieng.models.minilm import load_minilm
from aieng.models.quantized import rounded
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.models.weights import ensure
from aieng.quantization.integer import dequantize, dequantize_groups
from aieng.quantization.weight_only import int8_linear


def heldout_ids(lm: SmolLM2, tokens: int) -> list[int]:
    """The first tokens of the held-out text."""
    return lm.tokenizer.encode(load_heldout()[: 8 * tokens])[:tokens]


@experiment
def int8_perplexity(quantize_absmax: Any, *, tokens: int | None = None) -> Finding:
    """Perplexity of SmolLM2 on a short piece of held-out text with every weight rounded by the learner's function.

    The numbers: {"float32", "channel", "tensor", "four"}: perplexities.
    """
    tokens = tokens or (160 if quick() else 768)
    lm = smollm2()
    ids = heldout_ids(lm, tokens)
    who = whose(quantize_absmax)
    ways: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
        "channel": (f"{who} INT8, one scale per channel", lambda w: dequantize(*quantize_absmax(w, 1))),
        "tensor": (f"{who} INT8, one scale per tensor", lambda w: dequantize(*quantize_absmax(w))),
        "four": (f"{who} INT4, one scale per channel", lambda w: dequantize(*quantize_absmax(w, 1, 4))),
    }
    found = {"float32": lm.perplexity(ids, 256)}
    for key, (_, change) in ways.items():
        found[key] = rounded(lm, change, embedding=key != "four").perplexity(ids, 256)
    table = "\n".join(f"| {name} | {found[key]:.2f} | {found[key] / found['float32'] - 1:+.1%} |" for key, (name, _) in ways.items())
    sentence = (f"| weights | perplexity | against float32 |\n|---|---|---|\n| float32 | {found['float32']:.2f} | |\n{table}\n\n"
                f"Measured now, on {tokens:,} tokens, with {who} function on all 210 matrices. On so short a text one or two percent are "
                f"noise; the "
                "table at the end of 5.3 has 20,480 tokens.")
    return Finding(sentence, None, found)


@experiment
def token_rate(*, tokens: int | None = None) -> Finding:
    """Tokens per second of SmolLM2 with weights of 4, 2 and 1 bytes.

    The numbers: {"float32", "bfloat16", "int8"}, and megabytes as "…_mb".
    """
    tokens = tokens or (8 if quick() else 32)
    lm = smollm2()
    prompt = lm.tokenizer.encode("The lighthouse keeper looked at the sea and")
    models = {"float32": lm, "bfloat16": smollm2("bfloat16"), "int8": lm.with_kernels(linear=int8_linear)}
    rates: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        model.generate(prompt, 2, stop_ids=())
    for _ in range(2 if quick() else 3):  # in turn: whatever slows the machine down slows all of them
        for name, model in models.items():
            started = time.perf_counter()
            model.generate(prompt, tokens, stop_ids=())
            rates[name].append(tokens / (time.perf_counter() - started))
    rate = {name: max(values) for name, values in rates.items()}
    numbers = sum(w.numel() for w in lm.model.weights.values())
    size = {"float32": 4 * numbers / 1e6, "bfloat16": 2 * numbers / 1e6, "int8": numbers / 1e6}
    sentence = (f"One token means reading {size['float32']:.0f}, {size['bfloat16']:.0f} or {size['int8']:.0f} MB of weights. Measured "
                f"here: "
                + ", ".join(f"{name} {rate[name]:.1f} tokens/s" for name in rate)
                + f". A quarter of the bytes made it {rate['int8'] / rate['float32']:.1f} times as fast, not four: the rest of the time "
                  f"goes into small "
                "operations that have nothing to do with the weights. (INT8 here means weights only; torch's own kernel multiplies them "
                "with bfloat16 "
                "activations.)")
    figure = paired_bars(list(rate), {"tokens per second": list(rate.values())}, "Bytes of a weight and speed", "tokens per second")
    return Finding(sentence, figure, {**rate, **{f"{name}_mb": mb for name, mb in size.items()}})


@experiment
def in_the_file(decode_q8_0: Any, encode_q8_0: Any, decode_q4_1: Any, encode_q4_1: Any) -> Finding:
    """What kinds of blocks SmolLM2's GGUF file holds, read by the learner's functions and by the gguf package.

    The numbers: `megabytes` and `bits` by kind, `same` (every decoded number equals gguf's), `again` (largest error of encoding
    decoded blocks again).
    """
    [path] = ensure("smollm2").values()
    kinds: dict[str, list[float]] = {}
    same, again, seen = True, 0.0, {"Q4_1": 0, "Q8_0": 0}
    code = {"Q8_0": (decode_q8_0, encode_q8_0, 34), "Q4_1": (decode_q4_1, encode_q4_1, 20)}
    for _, packed in LlamaFile(path).tensors():
        kind, blocks = packed.kind.name, packed.blocks
        count = blocks.nbytes * 32 / code[kind][2] if kind in code else blocks.size
        kinds.setdefault(kind, [0, 0, 0])
        kinds[kind] = [kinds[kind][0] + 1, kinds[kind][1] + blocks.nbytes, kinds[kind][2] + count]
        if kind in code and seen[kind] < (2 if quick() else 14):
            seen[kind] += 1
            decode, encode, size = code[kind]
            part = np.array(blocks).reshape(-1, size)[:20_000]  # a copy: the file's memory is read-only
            mine = decode(torch.from_numpy(part))
            same = same and bool((mine.numpy() == gguf.dequantize(part, packed.kind)).all())
            again = max(again, float((decode(encode(mine)) - mine).abs().max()))
    rows = "\n".join(f"| {kind} | {int(n)} | {size / 1e6:.1f} | {8 * size / count:.2f} |" for kind, (n, size, count) in kinds.items())
    sentence = (f"| blocks | tensors | MB | bits per weight |\n|---|---|---|---|\n{rows}\n\n"
                f"{whose(decode_q8_0, decode_q4_1).capitalize()} decoders read {sum(seen.values())} of the file's own tensors "
                + ("exactly as the gguf package does, bit for bit. " if same else "**differently from the gguf package**. ")
                + ("Encoding those numbers once more and decoding them again changes none of them: they lie on a grid of 16 levels "
                   "already. "
                   if again == 0 else f"Encoding them once more and decoding them again moves none by more than {again:.1e}. ")
                + "Remember that in 5.3: rounding to 4 bits in groups of 32 loses nothing here, *because this model has been rounded like "
                  "that "
                "before*.")
    return Finding(sentence, None,
                   {"megabytes": {k: v[1] / 1e6 for k, v in kinds.items()}, "bits": {k: 8 * v[1] / v[2] for k, v in kinds.items()},
                                    "same": same, "again": again})


def real_weights() -> Tensor:
    """A weight that was never quantized: a feed-forward matrix of MiniLM (1536, 384), float32."""
    weight: Tensor = load_minilm().encoder.blocks[3].up.weight
    return weight.detach().float()


@experiment
def group_sizes(quantize_groups: Any, weight: Tensor, *, sizes: tuple[int, ...] = (8, 16, 32, 64, 128, 384)) -> Finding:
    """Relative rounding error of a real weight against bits per weight, for several group sizes.

    The numbers: `error` ({bits: [one per size]}), `bits` ({bits: [bits per weight, scale and minimum included]}).
    """
    errors: dict[int, list[float]] = {}
    cost: dict[int, list[float]] = {}
    for bits in (3, 4, 5):
        errors[bits] = [float((dequantize_groups(*quantize_groups(weight, bits, n)) - weight).norm() / weight.norm()) for n in sizes]
        cost[bits] = [bits + 32 / n for n in sizes]
    at, far = sizes.index(32), len(sizes) - 1
    sentence = (f"With 4 bits, groups of 32 leave {errors[4][at]:.1%} of the weight's length as error at {cost[4][at]:.2f} bits per "
                f"weight, groups of "
                f"{sizes[far]} (a whole row) {errors[4][far]:.1%} at {cost[4][far]:.2f}. Smaller groups cost bits for their scales: "
                f"groups of 8 with 3 bits "
                f"need {cost[3][0]:.0f} bits per weight and leave {errors[3][0]:.1%}, groups of 32 with 5 bits need {cost[5][at]:.0f} and "
                f"leave "
                f"{errors[5][at]:.1%}.")
    series = {f"{bits} bits": (cost[bits], errors[bits]) for bits in errors}
    figure = lines(series, "Where to spend bits: codes or scales", "bits per weight, scale and minimum included", "relative rounding error",
                   subtitle="each line from groups of 384 (left) to groups of 8 (right)")
    return Finding(sentence, figure, {"error": errors, "bits": cost})
