"""SmolLM2 on our kernels beside transformers (float32) and llama.cpp (its 4-bit file): logits, speed, perplexity, memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch.nn import functional

from aieng.data.corpus import load_corpus
from aieng.generation.decoding import generate
from aieng.models.smollm2 import SmolLM2, smollm2
from aieng.models.weights import ensure
from benchmarks.harness import Row, compare, less_is_better, main, more_is_better

PROMPT = "Once upon a time there was a little girl who lived in"
NEW_TOKENS = 32
POSITIONS = 1024  # for the logits
CONTEXT = 1024  # tokens of text for the perplexity
TORCHS_OWN = {  # what transformers computes with
    "attention": lambda q, k, v, mask: functional.scaled_dot_product_attention(q, k, v, is_causal=mask is not None),
    "feed_forward": lambda x, gate, up, down: down(functional.silu(gate(x)) * up(x)),
}


class Task:
    """The models, the file they all come from, and a text."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        [self.path] = ensure("smollm2", progress=False).values()
        self.float32, self.int8 = smollm2(progress=False), smollm2("int8", progress=False)
        self.reference = transformers_model(self.path)
        self.prompt = self.float32.tokenizer.encode(PROMPT)
        self.text = self.float32.tokenizer.encode("\n\n".join(load_corpus().texts[:120]))


def transformers_model(path: Path) -> Any:
    """transformers' own class with the weights of the same file."""
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, vocab_size=49152,
        max_position_embeddings=8192, rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)).eval()
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 30)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            data: NDArray[np.float32] = np.array(tensors[f"{names.get_name(name.removesuffix('.weight'))}.weight"])
            heads = {"q_proj": 9, "k_proj": 3}.get(name.split(".")[-2])
            if heads:  # the file orders rows for interleaved rotary positions
                data = data.reshape(heads, 32, 2, 576).swapaxes(1, 2).reshape(data.shape)
            parameter.copy_(torch.from_numpy(data))
    return model


def logits(task: Task) -> Iterator[Row]:
    ids = task.text[:POSITIONS]
    ours = task.float32.logits(ids)
    with torch.inference_mode():
        theirs = task.reference(torch.tensor([ids])).logits[0]
    difference = float((ours - theirs).abs().max())
    name = f"logits float32: largest difference, {POSITIONS} positions"
    yield Row(name, "transformers", difference, 1e-4, "(limit 1e-4)", 1e-4 / max(difference, 1e-7), 1.0)
    difference = float((task.float32.with_kernels(**TORCHS_OWN).logits(ids) - theirs).abs().max())
    yield Row("the same, with torch's attention and silu as kernels", "transformers", difference, 1e-4, "(limit 1e-4)",
              1e-4 / max(difference, 1e-7), 1.0)
    same = float((ours.argmax(-1) == theirs.argmax(-1)).double().mean())
    yield more_is_better("logits float32: same first choice", "transformers", same, 1.0, "share", target=1.0)


def decoding(task: Task, tag: str, bandwidth: float) -> Iterator[Row]:
    ids = torch.tensor([task.prompt])

    def transformers() -> list[int]:
        made = task.reference.generate(ids, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=2)
        return made[0, len(task.prompt) :].tolist()

    float32 = partial(generate, task.float32.model, task.prompt, NEW_TOKENS)
    if float32() != transformers():
        raise RuntimeError("greedy tokens differ from transformers': the comparison would mean nothing")
    rows = [compare(f"decode float32, {NEW_TOKENS} tokens{tag}", "transformers", float32, transformers, work=NEW_TOKENS, unit="tokens/s",
                    target=1.2, repeats=5)]
    int8 = partial(generate, task.int8.model, task.prompt, NEW_TOKENS)
    rows.append(compare(f"decode int8, {NEW_TOKENS} tokens{tag}", "llama.cpp Q4_1", int8, llama_cpp(task), work=NEW_TOKENS,
                        unit="tokens/s", target=0.8, repeats=9))
    yield from rows
    for row, lm in zip(rows, (task.float32, task.int8)):
        bound = bandwidth / weight_bytes(lm)
        yield more_is_better(f"{row.what}: share of the bound", f"memory {bandwidth / 1e9:.0f} GB/s", row.ours, bound, "tokens/s")


def llama_cpp(task: Task) -> Any:
    from llama_cpp import Llama

    model = Llama(str(task.path), n_ctx=512, n_threads=task.threads, n_threads_batch=task.threads, verbose=False)

    def run() -> None:
        model.reset()
        model.eval(task.prompt)
        for _ in range(NEW_TOKENS - 1):
            model.eval([int(model.sample(temp=0.0))])

    return run


def weight_bytes(lm: SmolLM2) -> int:
    """Bytes that one token reads: every weight once (the embedding as the output layer)."""
    return sum(w.nbytes for w in lm.model.weights.values())


def read_bandwidth(threads: int) -> float:
    """Bytes/s of a compiled sum over 400 MB, the best of five, with as many threads."""
    parts = np.array_split(np.ones(50_000_000), threads)
    best = np.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(6):  # the first compiles
            started = time.perf_counter()
            list(pool.map(_sum, parts))
            best = min(best, time.perf_counter() - started)
    return sum(part.nbytes for part in parts) / best


@njit(nogil=True, fastmath=True)
def _sum(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    return total


def perplexity(task: Task) -> Iterator[Row]:
    ids = task.text[:CONTEXT]
    # The int8 model takes one token at a time, through the compiled step that is timed above.
    cache, losses = task.int8.model.new_cache(1, len(ids)), []
    with torch.inference_mode():
        for token, following in pairwise(ids):
            losses.append(-task.int8.model(torch.tensor([[token]]), cache)[0, 0].log_softmax(-1)[following])
    yield less_is_better(f"perplexity int8, {CONTEXT} tokens", "ours, float32", float(torch.stack(losses).mean().exp()),
                         task.float32.perplexity(ids, window=CONTEXT), "perplexity", target=0.98)


@torch.inference_mode()
def cache_or_not(task: Task, tag: str) -> Iterator[Row]:
    model = task.float32.model
    for length in (128, 512, 1024):
        ids = torch.tensor([task.text[:length]])
        cache = model.new_cache(1, length)
        model(ids[:, :-1], cache, logits_to_keep=1)

        def step(ids: torch.Tensor = ids, cache: Any = cache, length: int = length) -> None:
            cache.truncate(length - 1)
            model(ids[:, -1:], cache)

        yield compare(f"the token after {length - 1}, cached{tag}", "without a cache", step, partial(model, ids, logits_to_keep=1), work=1,
                      unit="tokens/s", target=None, repeats=3)


OURS = """
from aieng.models.smollm2 import smollm2
started = time.perf_counter()
model = smollm2(progress=False).model
"""
THEIRS = """
from transformers import LlamaForCausalLM
from transformers.utils import logging
logging.disable_progress_bar()
started = time.perf_counter()
model = LlamaForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
"""
REPORT = """
loaded = time.perf_counter() - started
with torch.inference_mode():
    model(torch.tensor([[1, 2, 3]]))
# Not ru_maxrss: a child starts with its parent's.
peak = [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")] if sys.platform == "linux" else [0]
print(json.dumps([loaded, peak[0]]))
"""


def loading(task: Task) -> Iterator[Row]:
    """Each in processes of their own, warm: the files are in the page cache. Ours brings its tokenizer along."""
    with tempfile.TemporaryDirectory() as folder:
        task.reference.save_pretrained(folder)

        def measure(program: str) -> tuple[float, float]:
            command = [sys.executable, "-c", "import json, sys, time, torch" + program + REPORT, folder]
            runs = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
                    for _ in range(3)]
            return min(seconds for seconds, _ in runs), min(peak for _, peak in runs)

        (ours, our_peak), (theirs, their_peak) = measure(OURS), measure(THEIRS)
    yield less_is_better("load, warm", "transformers", ours, theirs, "s", target=1.0)
    yield less_is_better("peak memory of a process, float32", "transformers", our_peak / 1e6, their_peak / 1e6, "MB", target=1.0)


def measure(threads: int) -> list[Row]:
    torch.set_num_threads(threads)
    task, tag = Task(threads), f" · {threads} thread{'s' if threads > 1 else ''}"
    rows = [*decoding(task, tag, read_bandwidth(threads)), *cache_or_not(task, tag)]
    if threads == 1:  # what does not depend on the number of threads is measured once
        rows = [*logits(task), *perplexity(task), *loading(task), *rows]
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
