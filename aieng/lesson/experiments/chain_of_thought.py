"""6.1 measured: a checked chain, room to write against none, votes, and what the prompts do to SmolLM2."""

from __future__ import annotations

import json
import operator
import random
import re
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from aieng.data.corpus import ASSETS
from aieng.data.word_problems import make_word_problems
from aieng.figures.language import bars
from aieng.figures.reasoning import accuracy_by_steps, banded
from aieng.lesson.environment import quick
from aieng.lesson.experiments.retrieval import wilson
from aieng.lesson.finding import Finding, experiment, whose
from aieng.reasoning.chain_of_thought import extract_answer as read_answer
from aieng.reasoning.prompting import EXAMPLES, TOKENS, ask, direct_prompt
from aieng.reasoning.scratchpad import LONGEST, STYLES, load_solver, random_chain, train_solver
from aieng.reasoning.scratchpad import TOKENS as TOKENS_FED

JUG = "A jug has 20 apples. If I add 5 and then eat 3, how many are left?"
# A chain that doubts a right result; the notes' example in short.
DOUBTING = "20 + 5 = 25. 25 - 3 = 22. That cannot be right. 25 - 1 = 24, 24 - 1 = 23, 23 - 1 = 22. Still wrong. The answer is 22."
_EQUATION = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)")
_COMPUTE = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def equations(text: str) -> list[tuple[str, bool]]:
    """Every ``a + b = c`` of a text (also with - and *), and whether it is true."""
    return [(m[0], _COMPUTE[m[2]](int(m[1]), int(m[3])) == int(m[4])) for m in _EQUATION.finditer(text)]


@experiment
def apple(extract_answer: Any, lm: Any) -> Finding:
    """The jug of apples: a doubting chain checked line by line, and SmolLM2 asked, directly and by steps.

    The numbers: `equations`, `true` (of them), `answer` (of the doubting chain), `direct`, `steps` (what SmolLM2 answers, NaN for nothing).
    """
    found = equations(DOUBTING)
    direct = ask(lm, direct_prompt(JUG), TOKENS["direct"], one_line=True)
    steps = ask(lm, f"Q: {JUG}\nA: Let's think step by step.", 30 if quick() else TOKENS["zero-shot"])
    answers = [extract_answer(text) for text in (direct, steps)]
    who = whose(extract_answer)
    marks = "; ".join(f"{text} {'✓' if true else '✗'}" for text, true in found)
    return Finding(
        f"> {DOUBTING}\n\nChecked by a program: {marks}. {sum(true for _, true in found)} of {len(found)} equations are true, and {who} "
        f"`extract_answer` reads {extract_answer(DOUBTING):g}: the doubts are the only errors.\n\n"
        f"SmolLM2, asked directly, says `{' '.join(direct.split())}`. By steps it writes `{' '.join(steps.split())}`, from which {who} "
        f"function reads "
        f"{'no number' if answers[1] is None else f'{answers[1]:g}'}.",
        data={"equations": len(found), "true": sum(true for _, true in found), "answer": extract_answer(DOUBTING),
              **{name: float("nan") if a is None else a for name, a in zip(("direct", "steps"), answers)}})


def _questions(count: int, seed: str = "live") -> dict[int, list[Any]]:
    rng = random.Random(seed)
    return {steps: [random_chain(rng, steps) for _ in range(count)] for steps in range(1, LONGEST + 1)}


@experiment
def train_both(*, tokens: int | None = None, seeds: tuple[int, ...] = (0, 1, 2), asked: int = 500) -> Finding:
    """Train both models here and now, some seeds of each on as many tokens, and ask them unseen questions.

    The numbers: `direct`, `scratchpad` ((seeds, steps) arrays, accuracy by number of steps), `tokens` (of each training).
    """
    tokens = tokens or (20_000 if quick() else 400_000)
    questions, weights = _questions(asked), 0
    found: dict[str, list[list[float]]] = {style: [] for style in STYLES}
    steps = {style: max(1, tokens // (64 * (LONGEST + 2 + (0 if style == "direct" else LONGEST - 1)))) for style in STYLES}
    with tqdm(total=len(seeds) * sum(steps.values()), unit="step", leave=False) as bar:
        for seed in seeds:
            for style in STYLES:
                bar.set_description(f"{style}, seed {seed}")
                trained = train_solver(style, seed, tokens, on_step=lambda *_: bar.update() and None)
                weights = sum(w.numel() for w in trained.weights.values())
                found[style].append([trained.accuracy(chains) for chains in questions.values()])
    grids = {style: np.array(rows) for style, rows in found.items()}
    told = {style: f"{grid[:, 0].mean():.0%} of the questions of one step and {grid[:, -1].mean():.0%} of those of {LONGEST}"
            for style, grid in grids.items()}
    return Finding(
        f"{weights:,} weights and {tokens:,} tokens for each of {len(seeds)} seeds. On average the direct models answer {told['direct']}, "
        f"those with a scratchpad {told['scratchpad']} (guessing: 10 %). {asked} questions a mark; the recorded run below has trained "
        f"{TOKENS_FED / tokens:.3g} times as long.",
        accuracy_by_steps(grids, asked, 0.1), {**grids, "tokens": tokens})


@lru_cache(maxsize=1)
def _recorded() -> dict[str, Any]:
    record: dict[str, Any] = json.loads((ASSETS / "scratchpads.json").read_text(encoding="utf-8"))
    return record


@experiment
def gap_by_steps() -> Finding:
    """The recorded training of three seeds each: accuracy by the number of steps, and the gap with its interval.

    The numbers: `direct`, `scratchpad` ((seeds, steps) arrays), `gap` (mean difference at the longest questions), `low`, `high` (its
    bootstrap interval over seeds and questions), `first_direct`, `last_direct`, `last_scratchpad` (means), `tokens`.
    """
    record = _recorded()
    found = {style: np.array([record[f"{style}-{seed}"]["accuracy"] for seed in range(3)]) for style in STYLES}
    asked = int(record["asked"])
    rng = np.random.default_rng(0)
    # Seeds drawn with replacement, then the answers to the questions: both sources of chance.
    drawn = {style: rng.binomial(asked, found[style][:, -1][rng.integers(3, size=(4000, 3))]).mean(axis=1) / asked for style in STYLES}
    low, high = np.quantile(drawn["scratchpad"] - drawn["direct"], [0.025, 0.975])
    gap = float(found["scratchpad"][:, -1].mean() - found["direct"][:, -1].mean())
    seconds = [record[f"{style}-{seed}"]["seconds"] for style in STYLES for seed in range(3)]
    each = ", ".join(f"{v:.0%}" for v in found["direct"][:, 0])
    return Finding(
        f"Recorded on {record['date']} ({record['machine']}; {record['tokens']:,} tokens each, {min(seconds):.0f} to {max(seconds):.0f} s "
        f"a model). At "
        f"{LONGEST} steps the scratchpad is ahead by {100 * gap:.0f} points (95 % interval {100 * low:.0f} to {100 * high:.0f}, seeds and "
        f"questions "
        f"redrawn). Mind the direct models' spread: after the same training the three answer {each} of the questions of *one* step, where "
        f"both "
        f"have the same task. Longer questions also teach the scratchpad model its single steps; the direct one gets one label for five of "
        f"them.",
        accuracy_by_steps(found, asked, 0.1),
        {**found, "gap": gap, "low": float(low), "high": float(high), "first_direct": float(found["direct"][:, 0].mean()),
         "last_direct": float(found["direct"][:, -1].mean()), "last_scratchpad": float(found["scratchpad"][:, -1].mean()),
         "tokens": record["tokens"]})


@experiment
def votes_against_accuracy(self_consistency: Any, *, chains: int = 40, asked: int = 300, steps: int = LONGEST,
                           temperature: float = 0.7) -> Finding:
    """Right answers against the number of votes, for the scratchpad model stopped early and for the direct one.

    The numbers: `counts`, `chains` (the most), `scratchpad`, `direct` (shares, one per count), `greedy`
    (the early model, one chain without chance),
    `one`, `most` (with one vote, with most), `direct_one`, `direct_most`, `agreement` (mean share of the winning answer where it
    is right, where it is wrong).
    """
    asked = 60 if quick() else asked
    questions = _questions(asked, "votes")[steps]
    counts = [c for c in (1, 3, 5, 10, 20, 40) if c <= chains]
    generator = torch.Generator().manual_seed(0)
    shares: dict[str, list[float]] = {}
    greedy, agreement = 0.0, {True: [0.0], False: [0.0]}
    for name, label in (("scratchpad-early", "scratchpad"), ("direct-0", "direct")):
        model = load_solver(name)
        drawn = torch.stack([model.write(questions, temperature, generator)[:, -1] for _ in range(chains)], dim=1).double().tolist()
        if label == "scratchpad":
            greedy = model.accuracy(questions)
            votes = [(self_consistency(row), q.answer) for row, q in zip(drawn, questions)]
            agreement = {right: [share for (answer, share), want in votes if (answer == want) is right] or [float("nan")]
                         for right in (True, False)}
        shares[label] = [float(np.mean([self_consistency(row[:c])[0] == q.answer for row, q in zip(drawn, questions)])) for c in counts]
    names, series = {"scratchpad": "scratchpad, stopped early", "direct": "direct, fully trained"}, {}
    for label, values in shares.items():
        ends = [wilson(round(v * asked), asked) for v in values]
        series[names[label]] = (values, [a for a, _ in ends], [b for _, b in ends])
    sure = {right: float(np.mean(values)) for right, values in agreement.items()}
    return Finding(
        f"{asked} questions of {steps} steps, drawn at temperature {temperature:g}. The early scratchpad model is right for "
        f"{shares['scratchpad'][0]:.0%} with one chain, "
        f"{shares['scratchpad'][-1]:.0%} with a vote of {counts[-1]}; its greedy chain for {greedy:.0%}. The direct model goes from "
        f"{shares['direct'][0]:.0%} "
        f"to {shares['direct'][-1]:.0%}. A vote finds the answer that the model gives *most often*; what it repairs here is the noise of "
        f"drawing. The greedy chain has none: the vote stands {100 * (shares['scratchpad'][-1] - greedy):+.0f} points beside it. Each "
        f"question has a "
        f"single path to its answer; Wang et al. gain more where different paths meet. The winner had {sure[True]:.0%} of the votes where "
        f"it was right and "
        f"{sure[False]:.0%} where it was wrong, so the share tells when to trust it.",
        banded("Self-consistency", "chains that vote (log scale)", "right answers (95 % interval)", counts, series, log_x=True,
               levels={"greedy chain": greedy}),
        {"counts": counts, "chains": counts[-1], **shares,
         "greedy": greedy, "one": shares["scratchpad"][0], "most": shares["scratchpad"][-1],
         "direct_one": shares["direct"][0], "direct_most": shares["direct"][-1], "agreement": sure})


@experiment
def prompts_compared() -> Finding:
    """The recorded answers of SmolLM2 to word problems under three prompts, with Wilson intervals.

    The numbers: `direct`, `zero-shot`, `few-shot` (shares), `direct_high`, `zero_shot_low` (ends of intervals), `n`,
    `true_equations` (share of equations in its few-shot chains that are true), `no_answer` (of the zero-shot chains).
    """
    record = json.loads((ASSETS / "cot_prompts.json").read_text(encoding="utf-8"))
    texts = record["answers"]
    n = len(texts["direct"])
    problems = make_word_problems(n, record["seed"])
    right = {name: sum(read_answer(text) == p.answer for text, p in zip(written, problems)) for name, written in texts.items()}
    ends = {name: wilson(count, n) for name, count in right.items()}
    checked = [true for text in texts["few-shot"] for _, true in equations(text)]
    silent = float(np.mean([read_answer(text) is None for text in texts["zero-shot"]]))
    overlap = ends["direct"][0] <= ends["few-shot"][1] and ends["few-shot"][0] <= ends["direct"][1]
    verdict = "The intervals of direct and few-shot overlap." if overlap else "Direct and few-shot differ by more than their intervals."
    return Finding(
        f"Recorded on {record['date']} ({record['model']}; {record['machine']}): of {n} problems it answers "
        + ", ".join(f"{name} {count}" for name, count in right.items())
        + f". {verdict} "
        f"Its few-shot chains have the right form, and of their {len(checked)} equations "
        f"{np.mean(checked) if checked else float('nan'):.0%} are true.",
        bars("SmolLM2 on word problems, by prompt", "right answers (95 % "
                                                    "interval)", list(right), {"right": [c / n for c in right.values()]},
             low=[a for a, _ in ends.values()], high=[b for _, b in ends.values()], as_percent=True),
        {**{name: count / n for name, count in right.items()}, "direct_high": ends["direct"][1], "zero_shot_low": ends["zero-shot"][0],
         "n": n, "no_answer": silent,
         "true_equations": float(np.mean(checked)) if checked else float("nan")})


@experiment
def prompts_live(zero_shot_prompt: Any, few_shot_prompt: Any, extract_answer: Any, model: Any, *, asked: int = 3, seed: int = 7) -> Finding:
    """A few problems here and now, with the learner's functions (about ten seconds).

    The numbers: `direct`, `zero-shot`, `few-shot` (right answers), `asked`.
    """
    problems = make_word_problems(1 if quick() else asked, seed)
    prompts = {"direct": direct_prompt, "zero-shot": zero_shot_prompt, "few-shot": lambda q: few_shot_prompt(q, EXAMPLES)}
    right, told = dict.fromkeys(prompts, 0), []
    for problem in problems:
        told.append(f"- **{problem.question}** ({problem.answer})")
        for name, prompt_of in prompts.items():
            text = ask(model, prompt_of(problem.question), TOKENS[name], one_line=name != "zero-shot")
            answer = extract_answer(text)
            right[name] += answer == problem.answer
            said = " ".join(text.split("\nQ:")[0].split())
            told.append(f"    - {name} {'✓' if answer == problem.answer else '✗'} `{said[:150]}`")
    return Finding(f"{len(problems)} problems live: " + ", ".join(f"{name} {count} "
                                                                  f"right" for name, count in right.items()) + ".\n\n" + "\n".join(told),
                   data={**right, "asked": len(problems)})
