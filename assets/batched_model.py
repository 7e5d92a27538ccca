"""SmolLM2 on whatever device there is, for the scripts that record section 08's longer runs: many prompts at once, padded on the right."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from aieng.models.smollm2 import SmolLM2, smollm2, smollm2_from_gguf
from aieng.transformer.kv_cache import KVCache
from aieng.transformer.llama import Llama


class Batched:
    """Greedy answers and continuation scores of many prompts at once."""

    def __init__(self, batch: int | None = None) -> None:
        # AIENG_GGUF names the weights' file where the cache has none.
        path = os.environ.get("AIENG_GGUF")
        lm: SmolLM2 = smollm2_from_gguf(Path(path)) if path else smollm2()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.machine = torch.cuda.get_device_name() if self.device.type == "cuda" else f"{platform.system()} {platform.machine()}"
        self.model = Llama(lm.config, {name: weight.to(self.device) for name, weight in lm.model.weights.items()})
        # The output layer is applied to the few positions that are asked for, not to all.
        self.head, self.model.output = self.model.output, lambda x: x
        self.lm, self.batch = lm, batch or (64 if self.device.type == "cuda" else 8)

    def encode(self, prompt: str, *, chat: bool) -> list[int]:
        return self.lm.chat_ids([{"role": "user", "content": prompt}]) if chat else self.lm.tokenizer.encode(prompt)

    def _padded(self, rows: Sequence[Sequence[int]]) -> Tensor:
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        return ids.to(self.device)

    @torch.inference_mode()
    def answers(self, prompts: Sequence[str], max_new_tokens: int, *, chat: bool) -> list[str]:
        """Greedy answers, which end at the model's own end of a turn."""
        rows = [self.encode(p, chat=chat) for p in prompts]
        made: list[list[int]] = [[] for _ in rows]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            for i, new in zip(part, self._decode([rows[i] for i in part], max_new_tokens)):
                made[i] = new
        return [self.lm.tokenizer.decode(new) for new in made]

    def _decode(self, rows: list[list[int]], max_new_tokens: int) -> list[list[int]]:
        """New tokens of each row. The cache holds the padding too; a mask hides it, and positions go on from each row's own end."""
        c, ids = self.model.config, self._padded(rows)
        batch, longest = ids.shape
        ends = torch.tensor([len(row) for row in rows], device=self.device)
        capacity = longest + max_new_tokens
        cache = KVCache(c.num_hidden_layers, batch, c.num_key_value_heads, c.head_dim, capacity, self.model.dtype, self.device)
        here = torch.arange(batch, device=self.device)
        features = self.model(ids, cache)[here, ends - 1]  # (batch, hidden_size)
        made: list[list[int]] = [[] for _ in rows]
        done = [False] * batch
        slots = torch.arange(capacity, device=self.device)
        for step in range(max_new_tokens):
            chosen = self.head(features).argmax(-1)
            for i, token in enumerate(chosen.tolist()):
                done[i] = done[i] or token in (self.lm.stop_id, 0)
                if not done[i]:
                    made[i].append(token)
            if all(done) or step == max_new_tokens - 1:
                break
            visible = (slots < ends[:, None]) | (slots >= longest)  # (batch, slots)
            mask = visible[:, None, None, : longest + step + 1]
            features = self.model(chosen[:, None], cache, (ends + step)[:, None], mask)[:, -1]
        return made

    @torch.inference_mode()
    def log_probabilities(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        """Sum of the log-probabilities of each ending after its beginning (ids)."""
        found = [0.0] * len(pairs)
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            features = self.model(self._padded([pairs[i][0] + pairs[i][1] for i in part]))
            for row, i in enumerate(part):
                begin, end = pairs[i]
                said = self.head(features[row, len(begin) - 1 : len(begin) + len(end) - 1]).float()
                found[i] = -float(functional.cross_entropy(said, torch.tensor(end, device=self.device), reduction="sum"))
        return found
