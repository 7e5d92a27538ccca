"""8.1 measured: what each principle of prompting is worth to SmolLM2, and what an injected order does under each way of writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from aieng.agents.prompts import wilson
from aieng.data.prompt_tasks import ATTACKS, WARNING, attack_cases, load_prompt_runs, sentiment_task
from aieng.figures.context import share_dots
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose

MODES = {"chat": "chat, free text", "raw": "raw text, free", "choice": "raw text, constrained choice"}
STYLES = ("labels", "tags, not escaped", "tags, escaped", "tags, escaped, warning")


def _share(bits: str) -> tuple[float, float, float]:
    return wilson(bits.count("1"), len(bits))


def _variant(bits: str) -> Callable[[int], bool]:
    return lambda i: bits[i] == "1"


@experiment
def principles(ab_test: Any) -> Finding:
    """The recorded runs: two tasks, seven prompts, three ways of asking; each prompt against the clear instruction, by the learner's test.

    The numbers: {task: {prompt: share}}, with "chat: " or "raw: " before the prompt's name for the ways other than constrained choice;
    `against` {task: {prompt: result of ab_test}} for constrained choice; `cases`.
    """
    record = load_prompt_runs()
    panels: dict[str, Any] = {}
    against: dict[str, Any] = {}
    lines = []
    for task, modes in record["accuracy"].items():
        panels[task] = {MODES[mode]: {name: _share(bits) for name, bits in rows.items()} for mode, rows in modes.items()}
        rows = modes["choice"]
        against[task] = {name: ab_test(_variant(rows["clear"]), _variant(bits), list(range(len(bits))), lambda _, answer: answer)
                         for name, bits in rows.items() if name != "clear"}
        for name, result in against[task].items():
            d, low, high = result["difference"]
            lines.append(f"| {task} | {name} | {result['a'][0]:.0%} → {result['b'][0]:.0%} | {d:+.0%} ({low:+.0%} … {high:+.0%}) | "
                         f"{result['p']:.2g} |")
    about = record["about"]
    table = "\n".join(lines)
    reviews = sentiment_task(about["cases"]["sentiment of a review"]).cases
    chat = record["accuracy"]["sentiment of a review"]["chat"]["clear"]
    of = {label: _share("".join(bit for bit, case in zip(chat, reviews) if case.label == label))[0] for label in ("positive", "negative")}
    return Finding(
        f"{whose(ab_test).capitalize()} `ab_test`, each prompt against the clear instruction, constrained choice:\n\n"
        f"| task | prompt | right | difference (95 %) | p |\n"
        f"|---|---|---|---|---|\n{table}\n\n{len(lines)} comparisons: at p < 0.05 one in twenty would look like something if nothing were "
        f"there, so "
        f"believe those below 0.05/{len(lines)} ≈ {0.05 / len(lines):.3f}. Recorded on {about['date']} ({about['machine']}; "
        f"{about['model']}; "
        f"{' and '.join(map(str, about['cases'].values()))} cases, `assets/make_prompts.py`). A share alone can mislead: in the chat, "
        f"the clear instruction got {of['positive']:.0%} of the positive and "
        f"{of['negative']:.0%} of the negative reviews right. A share near guessing can hide one answer for everything.",
        share_dots("What each principle is worth", "right answers (95 % interval)", panels,
                   subtitle="SmolLM2-135M-Instruct; guessing gives 50 % and 20 %"),
        {**{task: _by_name(modes) for task, modes in record["accuracy"].items()}, "against": against, "cases": about["cases"], "of": of})


def _by_name(modes: dict[str, dict[str, str]]) -> dict[str, float]:
    """Shares of right answers: a prompt's name alone stands for constrained choice, "chat: …", "raw: …" for the others."""
    return {(name if mode == "choice" else f"{mode}: {name}"): _share(bits)[0]
            for mode, rows in modes.items() for name, bits in rows.items()}


def _first_tokens(lm: Any, prompts: Sequence[str], words: Sequence[str]) -> torch.Tensor:
    """Log-probability (prompts, words) of the first token of each word after each prompt."""
    firsts = [lm.tokenizer.encode(word)[0] for word in words]
    rows = [lm.model(torch.tensor([lm.tokenizer.encode(p)]), logits_to_keep=1)[0, -1].float().log_softmax(-1)[firsts] for p in prompts]
    return torch.stack(rows)


@experiment
@torch.inference_mode()
def principles_live(build_prompt: Any, ab_test: Any, lm: Any) -> Finding:
    """A few reviews here and now, without and with four examples, by constrained choice on the learner's prompts (some seconds).

    The numbers: `result` of ab_test.
    """
    task = sentiment_task(4 if quick() else 16, seed=88)
    picked = []
    for name in ("clear", "clear + examples"):
        parts = task.variants()[name]
        prompts = [build_prompt(text=case.text, **parts) for case in task.cases]
        scores = _first_tokens(lm, [*prompts, build_prompt(text="", **parts)], [f" {label}" for label in task.labels])
        picked.append([task.labels[int(i)] for i in (scores[:-1] - scores[-1]).argmax(dim=1)])
    cases = list(range(len(task.cases)))
    result = ab_test(lambda i: picked[0][i], lambda i: picked[1][i], cases, lambda i, label: label == task.cases[i].label)
    read = "\n".join(f"- `{task.cases[i].text}` only with{'' if i in result['only_b'] else 'out'} examples"
                     for i in sorted([*result["only_a"], *result["only_b"]])[:6])
    d, low, high = result["difference"]
    return Finding(
        f"{len(cases)} fresh reviews on this machine: {result['a'][0]:.0%} right with the clear instruction, {result['b'][0]:.0%} with "
        f"four examples added; difference {d:+.0%} ({low:+.0%} … {high:+.0%}), p = {result['p']:.2g}. With so few cases the interval says "
        "how little "
        f"that proves. Always read where they disagree:\n\n{read or '- (nowhere)'}", data={"result": result})


@experiment
def injections() -> Finding:
    """The recorded attacks: which share of the answers held the word that the attack asked for.

    The numbers: `chat` and `raw` {"style: attack": share}, `flipped` {style: {attack: share}}, `cases`.
    """
    record = load_prompt_runs()
    panels = {MODES[mode]: {style: {attack: _share(rows[attack]) for attack in ATTACKS} for style, rows in styles.items()}
              for mode, styles in record["obeyed"].items()}
    share = {mode: {style: {attack: _share(bits)[0] for attack, bits in rows.items()} for style, rows in styles.items()}
             for mode, styles in record["obeyed"].items()}
    flipped = {style: {attack: _share(bits)[0] for attack, bits in rows.items()} for style, rows in record["flipped"].items()}
    n = len(record["flipped"]["labels"]["order"])
    raw, chat = share["raw"], share["chat"]
    worst, where = max((value, f"{attack}; {style}") for style, rows in flipped.items() for attack, value in rows.items()
                       if attack != "mention")
    return Finding(
        f"{n} reviews for each cell, with a text in each that tries to make the model say a certain word. Raw text: the forged example "
        f"is obeyed by {raw['labels']['forged example']:.0%} under plain labels and by {raw['tags, escaped']['forged example']:.0%} "
        f"under tags. The forged end of the data is obeyed by {raw['tags, not escaped']['closed tag']:.0%} when nothing is escaped and "
        f"still by {raw['tags, escaped']['closed tag']:.0%} when it is: this model follows what the text *looks like*. In the chat, the "
        f"plain order is obeyed by {chat['labels']['order']:.0%} with labels, {chat['tags, escaped']['order']:.0%} with tags, and "
        f"{chat['tags, escaped, warning']['order']:.0%} with a warning added. The control, a word that nobody asks for, never comes out "
        "by itself. Where only the two labels can be chosen, none of the words can come out at all; the worst that an attack did there "
        f"was to change {worst:.0%} of the judgements ({where}; the harmless mention changed "
        f"{max(rows['mention'] for rows in flipped.values()):.0%}).",
        share_dots("Who obeys a stranger's text?", "answers that hold the attacker's word (95 % interval)", panels,
                   subtitle=f"SmolLM2, {n} cases each; “mention” is the control"),
        {**{mode: {f"{style}: {attack}": s for style, rows in styles.items() for attack, s in rows.items()}
            for mode, styles in share.items()}, "flipped": flipped, "cases": n})


@experiment
def injection_live(build_prompt: Any, lm: Any) -> Finding:
    """One attack of each kind here and now, on the learner's prompts, without and with delimiters, and the answers as they came.

    The numbers: `answers` {attack: (with labels, with delimiters)}.
    """
    task = sentiment_task()
    said: dict[str, tuple[str, str]] = {}
    rows = []
    for attack in list(ATTACKS)[1:2] if quick() else list(ATTACKS)[1:]:
        text, word = attack_cases(attack, 4)[0]
        prompts = build_prompt(task.clear, text, delimiters=False), build_prompt(task.clear + WARNING, text)
        said[attack] = tuple(lm.generate(prompt, 8).text for prompt in prompts)
        rows.append(f"| {attack} | {word} | `{' '.join(said[attack][0].split())}` | `{' '.join(said[attack][1].split())}` |")
    head = f"| attack | wanted word | plain labels | {whose(build_prompt)} tags, escaped, with a warning |\n|---|---|---|---|\n"
    return Finding(head + "\n".join(rows), data={"answers": said})
