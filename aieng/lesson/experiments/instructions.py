"""2.4 measured: a tiny GPT that continues text, before and after it is tuned to answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from aieng.data.corpus import Passage, load_corpus
from aieng.figures.language import bars
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment
from aieng.models.tiny_gpt import TinyGPT, load_tiny_gpt
from aieng.training.loop import TrainingConfig, train
from aieng.training.losses import IGNORE

LONGEST = 72  # tokens of an example


def chat_ids(gpt: TinyGPT, render_chat: Any, passage: Passage) -> tuple[list[int], list[int]]:
    """Prompt and response of one example: the definition without its title, and its category."""
    definition = passage.text.removeprefix(f"{passage.title}: ").split(";")[0]
    prompt = render_chat([{"role": "user", "content": f"What kind of thing is "
                                                      f"{definition}?"}], add_generation_prompt=True, default_system=None)
    # Cut inside the user's text, so that the turn still ends with its tokens.
    ids = gpt.tokenizer.encode(prompt)
    tail = gpt.tokenizer.encode("?<|im_end|>\n<|im_start|>assistant\n")
    room = LONGEST - 8
    prompt_ids = ids if len(ids) <= room else [*ids[: room - len(tail)], *tail]
    return prompt_ids, [*gpt.tokenizer.encode(passage.category), gpt.end_id]


def answer(gpt: TinyGPT, prompt_ids: list[int], most: int = 8) -> tuple[str, bool]:
    """The greedy answer of at most `most` tokens, and whether it came to an end."""
    ids = list(prompt_ids)
    with torch.no_grad():
        cache = gpt.model.new_cache(1, len(ids) + most)
        fed = ids
        made: list[int] = []
        for _ in range(most):
            token = int(gpt.model(torch.tensor([fed]), cache, logits_to_keep=1)[0, -1].argmax())
            if token == gpt.end_id:
                return gpt.tokenizer.decode(made), True
            made.append(token)
            fed = [token]
    return gpt.tokenizer.decode(made), False


def fine_tune(gpt: TinyGPT, examples: list[tuple[list[int], list[int]]], sft_example: Any, sft_loss: Callable[[Tensor, Tensor], Tensor], *,
              steps: int, batch: int = 12, seed: int = 0) -> list[float]:
    """Train on (prompt, response) pairs with the learner's example builder and loss."""
    made = [sft_example(prompt, response, LONGEST) for prompt, response in examples]
    rng = random.Random(seed)
    bar = tqdm(total=steps, unit="step", desc="fine-tuning")

    def loss_of(_: int) -> Tensor:
        chosen = rng.sample(made, batch)
        length = max(len(ids) for ids, _ in chosen)
        ids = torch.tensor([list(i) + [gpt.end_id] * (length - len(i)) for i, _ in chosen])
        labels = torch.tensor([list(label) + [IGNORE] * (length - len(label)) for _, label in chosen])
        return sft_loss(gpt.model(ids), labels)

    losses = train(gpt.weights.values(), loss_of, TrainingConfig(steps, learning_rate=2e-3, warmup=10), lambda *_: bar.update() and None)
    bar.close()
    return losses


@experiment
def tune_to_answer(render_chat: Any, sft_example: Any, sft_loss: Any, *, steps: int = 150, asked: int = 80) -> Finding:
    """Fine-tune the shipped tiny GPT to answer with a category (some ten seconds), and score it on definitions it never saw.

    The numbers: `before`, `after` (share in the right form), `right_before`, `right_after`, `common` (share of the commonest category),
    `seconds`, `gpt`.
    """
    if quick():
        steps, asked = 4, 12
    gpt = load_tiny_gpt()
    passages = random.Random(1).sample(load_corpus().passages, 1600)
    unseen, seen = passages[:asked], passages[asked:]
    categories = set(load_corpus().categories)
    questions = [chat_ids(gpt, render_chat, p)[0] for p in unseen]

    def score(model: TinyGPT) -> tuple[float, float, list[str]]:
        said = [answer(model, q) for q in questions]
        form = sum(ended and text in categories for text, ended in said) / asked
        right = sum(ended and text == p.category for (text, ended), p in zip(said, unseen)) / asked
        return form, right, [text for text, _ in said]

    before, right_before, first = score(gpt)
    begin = time.perf_counter()
    losses = fine_tune(gpt, [chat_ids(gpt, render_chat, p) for p in seen], sft_example, sft_loss, steps=steps)
    seconds = time.perf_counter() - begin
    after, right_after, then = score(gpt)
    common = max(sum(p.category == c for p in unseen) for c in categories) / asked
    shown = "\n".join(f"- *{' '.join(p.text.split())[:70]} …* before: `{' '.join(a.split())[:30]}` · after: `{b}`"
                      for p, a, b in list(zip(unseen, first, then))[:4])
    return Finding(
        f"In {len(losses)} steps ({seconds:.0f} s) the share of answers in the right form (one category, then the end token) went from "
        f"{before:.0%} to {after:.0%} on {asked} definitions it had not been tuned on; {right_after:.0%} name the right category "
        f"(before: {right_before:.0%}; always saying the commonest would get {common:.0%}). Tuning taught a form quickly; what the model "
        f"knows "
        f"about things it had from pre-training.\n\n{shown}",
        bars("The same model, before and after instruction tuning", "share of answers", ["right form", "right category"],
             {"before": [before, right_before], "after": [after, right_after]}, as_percent=True),
        {"before": before, "after": after, "right_before": right_before, "right_after": right_after, "common": common, "seconds": seconds,
         "losses": losses, "gpt": gpt})


@experiment
def loss_with_and_without_mask(render_chat: Any, sft_example: Any, sft_loss: Any) -> Finding:
    """Where the loss of one example comes from: its prompt or its response.

    The numbers: `prompt_tokens`, `response_tokens`, `masked`, `unmasked`.
    """
    gpt = load_tiny_gpt()
    prompt, response = chat_ids(gpt, render_chat, load_corpus().passages[100])
    ids, labels = sft_example(prompt, response, LONGEST)
    with torch.no_grad():
        logits = gpt.model(torch.tensor([list(ids)]))
        masked = float(sft_loss(logits, torch.tensor([list(labels)])))
        unmasked = float(sft_loss(logits, torch.tensor([list(ids)])))
    return Finding(
        f"This example has {len(prompt)} tokens of prompt and {len(response)} of response. The untuned model's loss is {masked:.2f} nats "
        f"on the "
        f"response and {unmasked:.2f} over everything. Without the mask, {len(prompt) / len(ids):.0%} of the gradient would go into "
        f"predicting "
        "questions, which nobody will ask the model for.",
        data={"prompt_tokens": len(prompt), "response_tokens": len(response), "masked": masked, "unmasked": unmasked})
