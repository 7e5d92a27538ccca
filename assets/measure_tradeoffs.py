"""Measure what takes minutes: perplexity of SmolLM2 under each way to round its weights. The result is in git, tradeoffs.json.

    python assets/measure_tradeoffs.py [--only NAME ...] [--threads 2] [--qlora] [--bitsandbytes]

Every row: bits per weight and bytes of the whole model as it would be stored (scales and minima as float16), perplexity on the first 20,480
tokens of heldout.txt.gz in windows of 512, and the seconds that rounding took (cpu_seconds: without what other programs took of the
processor). GPTQ is calibrated on WordNet's definitions, another text.

--qlora measures the loss of LoRA and QLoRA along a longer training instead, --bitsandbytes the course's NF4 beside that library's (which
is no dependency of the course: `pip install bitsandbytes`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aieng.data.corpus import load_corpus
from aieng.data.heldout import load_heldout
from aieng.lesson.experiments import nf4_and_lora
from aieng.lesson.experiments.integer_weights import real_weights
from aieng.models.quantized import gptq_rounded, rounded
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.quantization.gptq import gptq
from aieng.quantization.integer import dequantize, dequantize_groups, quantize_absmax, quantize_affine, quantize_groups
from aieng.quantization.nf4 import NF4Weight, nf4_levels, quantize_nf4
from aieng.training.lora import LoRALinear

RESULT = Path(__file__).resolve().parent / "tradeoffs.json"
TOKENS, WINDOW, CALIBRATION = 20_480, 512, 16  # held-out tokens, tokens per window, calibration windows

Change = Callable[[Tensor], Tensor]


def half(t: Tensor) -> Tensor:
    """As stored: 16 bits."""
    return t.half().float()


def int8(dim: int | None) -> Change:
    return lambda w: dequantize(*quantize_absmax(w, dim))


def grouped(bits: int, group_size: int) -> Change:
    def change(w: Tensor) -> Tensor:
        codes, scale, minimum = quantize_groups(w, bits, group_size)
        return dequantize_groups(codes, half(scale), half(minimum))

    return change


def by_gptq(bits: int, group_size: int) -> Callable[[Tensor, Tensor], Tensor]:
    def change(w: Tensor, h: Tensor) -> Tensor:
        codes, scale, minimum = gptq(w, h, bits, group_size)
        return dequantize_groups(codes, half(scale), half(minimum))

    return change


def calibration(lm: SmolLM2) -> Tensor:
    """(16, 512) tokens of WordNet definitions, from all over the corpus."""
    texts = load_corpus().texts
    ids = lm.tokenizer.encode("\n\n".join(texts[::6]))
    return torch.tensor(ids[: CALIBRATION * WINDOW]).view(CALIBRATION, WINDOW)


def grouped_bits(bits: int, group_size: int) -> float:
    """Bits per weight with a float16 scale and minimum per group."""
    return bits + 32 / group_size


# name: (bits of a block's weight, bits of an embedding's weight, how). The embedding of the file has 8.5 bits (Q8_0).
RTN: dict[str, tuple[float, float, Callable[[SmolLM2], SmolLM2]]] = {
    "float32": (32, 32, lambda lm: lm),
    "bfloat16 weights": (16, 16, lambda lm: rounded(lm, lambda w: w.bfloat16().float(), embedding=True)),
    "INT8 per channel": (8.03, 8.03, lambda lm: rounded(lm, int8(1), embedding=True)),
    "INT8 per tensor": (8, 8, lambda lm: rounded(lm, int8(None), embedding=True)),
    "INT8 affine per tensor": (8, 8, lambda lm: rounded(lm, lambda w: dequantize(*quantize_affine(w)), embedding=True)),
    "INT4 per channel": (4.03, 8.5, lambda lm: rounded(lm, lambda w: dequantize(*quantize_absmax(w, 1, bits=4)))),
    "RTN 4 bits, group 64": (grouped_bits(4, 64), 8.5, lambda lm: rounded(lm, grouped(4, 64))),
    "RTN 3 bits, group 64": (grouped_bits(3, 64), 8.5, lambda lm: rounded(lm, grouped(3, 64))),
    "NF4, block 64": (4.127, 8.5, lambda lm: rounded(lm, lambda w: NF4Weight.from_float(w).dequantize())),
    "INT4 absmax, block 64": (4.25, 8.5,
                              lambda lm: rounded(lm, lambda w: dequantize(*quantize_absmax(w.view(-1, 64), 1, bits=4)).view_as(w))),
    "GPTQ 4 bits, group 64": (grouped_bits(4, 64), 8.5, lambda lm: gptq_rounded(lm, calibration(lm), by_gptq(4, 64))),
    "GPTQ 3 bits, group 64": (grouped_bits(3, 64), 8.5, lambda lm: gptq_rounded(lm, calibration(lm), by_gptq(3, 64))),
    "RTN 4 bits, group 32": (grouped_bits(4, 32), 8.5, lambda lm: rounded(lm, grouped(4, 32))),
}


def machine(threads: int) -> dict[str, str | int]:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
                 "")
    return {"processor": model or platform.processor(), "cores": os.cpu_count() or 0, "threads": threads, "torch": torch.__version__,
            "date": datetime.now(UTC).date().isoformat()}


def measure_qlora(lm: SmolLM2, *, seeds: int = 6, steps: int = 100, blocks: int = 2) -> dict[str, Any]:
    """LoRA over float32, QLoRA over NF4 in all blocks, and with NF4 in the trained blocks only (`tail`), some seeds each."""
    settings = {"blocks": blocks, "steps": steps, "rank": 8, "learning_rate": 2e-3}
    data = {packed: nf4_and_lora.prepare(lm, packed, blocks=blocks, examples=93, test_examples=72) for packed in (False, True)}
    runs = []
    for seed in range(seeds):
        found = {name: nf4_and_lora.fine_tune(LoRALinear, lm, packed, data[before], seed=seed, **settings)
                 for name, (packed, before) in nf4_and_lora.PACKED.items()}
        runs.append({"seed": seed} | {name: {k: run[k] for k in ("held_out", "before", "after", "seconds")} for name, run in found.items()})
        print(f"seed {seed}: " + ", ".join(f"{name} {run['after']:.4f}" for name, run in found.items()), flush=True)
    return {**settings, "examples": len(data[False].x), "test_examples": len(data[False].test_x), "runs": runs}


def measure_bitsandbytes(lm: SmolLM2) -> dict[str, Any]:
    """Relative errors of both libraries' NF4, and how many codes differ."""
    import bitsandbytes
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weights = {"SmolLM2, block 10, up": lm.model.weights["model.layers.10.mlp.up_proj.weight"], "MiniLM": real_weights()}
    rows = {}
    for name, stored in weights.items():
        w = stored.contiguous()
        codes, absmax = quantize_nf4(w, 64)
        ours = (nf4_levels()[codes.long()] * absmax[:, None]).view_as(w)
        packed, state = quantize_4bit(w, blocksize=64, quant_type="nf4")
        theirs = torch.stack([packed.view(-1) >> 4, packed.view(-1) & 15], dim=1).view_as(codes)  # high nibble first
        rows[name] = {"ours": float((ours - w).norm() / w.norm()), "theirs": float((dequantize_4bit(packed, state) - w).norm() / w.norm()),
                      "different": int((theirs != codes).sum()), "of": w.numel()}
    return {"version": bitsandbytes.__version__, "weights": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(RTN), help="measure these again, keep the others")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--qlora", action="store_true", help="the fine-tuning only")
    parser.add_argument("--bitsandbytes", action="store_true", help="the comparison with bitsandbytes only")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    lm = smollm2()
    for name, measure in (("qlora", measure_qlora), ("nf4_bitsandbytes", measure_bitsandbytes)):
        if asked.qlora if name == "qlora" else asked.bitsandbytes:
            found = measure(lm) | machine(asked.threads)
            RESULT.write_text(json.dumps(json.loads(RESULT.read_text()) | {name: found}, indent=1) + "\n")
    if asked.qlora or asked.bitsandbytes:
        return
    ids = lm.tokenizer.encode(load_heldout())[:TOKENS]
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    rows = result.setdefault("perplexity", {})
    embedding = lm.model.weights["model.embed_tokens.weight"].numel()
    blocks = sum(w.numel() for name, w in lm.model.weights.items() if w.ndim == 2) - embedding
    norms = 4 * sum(w.numel() for w in lm.model.weights.values() if w.ndim == 1)
    for name in asked.only or RTN:
        block_bits, embedding_bits, change = RTN[name]
        started, used = time.perf_counter(), time.process_time()
        changed = change(lm)
        seconds, cpu = time.perf_counter() - started, time.process_time() - used
        size = int((blocks * block_bits + embedding * embedding_bits) / 8) + norms
        rows[name] = {"bits": round(block_bits, 3), "bytes": size, "perplexity": changed.perplexity(ids, WINDOW),
                      "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
                      **machine(asked.threads)}
        result["perplexity_text"] = {"tokens": TOKENS, "window": WINDOW, "calibration_tokens": CALIBRATION * WINDOW}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name}: {rows[name]['perplexity']:.4f} at {block_bits:.2f} bits, {size / 1e6:.0f} MB, rounded in "
              f"{seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
