"""SmolLM2 on exchanged kernels beside itself: how far the logits move, and what it then writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aieng.models.smollm2 import SmolLM2


@dataclass(frozen=True)
class Variant:
    """One set of kernels on one prompt."""

    name: str
    difference: float  # largest absolute difference of two logits on the prompt
    same_top: float  # share of the prompt's positions with the same first choice
    text: str  # greedy continuation


def beside(lm: SmolLM2, variants: Mapping[str, Mapping[str, Any]], prompt: str, new_tokens: int) -> list[Variant]:
    """Run the prompt on each set of kernels, the model as it is first."""
    reference = lm.logits(prompt)
    found = [Variant("the course's engine", 0.0, 1.0, lm.generate(prompt, new_tokens).text)]
    for name, kernels in variants.items():
        other = lm.with_kernels(**kernels)
        logits = other.logits(prompt)
        same_top = float((logits.argmax(-1) == reference.argmax(-1)).double().mean())
        found.append(Variant(name, float((logits - reference).abs().max()), same_top, other.generate(prompt, new_tokens).text))
    return found


def table(prompt: str, variants: list[Variant]) -> str:
    """The variants as a Markdown table."""
    rows = (f"| {v.name} | {v.difference:.2g} | {v.same_top:.0%} | {quoted(v.text)} |" for v in variants)
    return (f"Prompt: {quoted(prompt)}\n\n| kernels | largest difference of logits | same first choice | it writes "
            "|\n|---|---|---|---|\n" + "\n".join(rows))


def quoted(text: str, limit: int = 110) -> str:
    """Text as inline code, safe inside a table."""
    flat = " ".join(text.split()).replace("`", "'").replace("|", "¦")
    return f"`{flat[:limit]}{'…' if len(flat) > limit else ''}`" if flat else "(nothing)"
