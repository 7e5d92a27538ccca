"""6.2 measured: two reward models from the same chains, and what each of them chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from aieng.figures.language import bars
from aieng.figures.reasoning import best_of_n_panels, credit_by_errors
from aieng.lesson.environment import grading, quick
from aieng.lesson.experiments.retrieval import wilson
from aieng.lesson.finding import Finding, experiment
from aieng.reasoning.process_supervision import Trace, make_traces, step_probabilities, train_reward_models
from aieng.reasoning.verifiers import StepNetwork, step_labels

JUDGES = {"outcome": "outcome model (ORM)", "process": "process model (PRM)"}
CANDIDATES = 64


@dataclass(frozen=True)
class Verifiers:
    """models : {"outcome", "process"} networks; trained_on : traces they have seen; unseen : others, to judge."""

    models: dict[str, StepNetwork]
    trained_on: list[Trace]
    unseen: list[Trace]

    def probabilities(self, traces: list[Trace]) -> dict[str, NDArray[np.float64]]:
        """{judge: (traces, steps)} probabilities that each step is right."""
        return {name: step_probabilities(model, traces).double().numpy() for name, model in self.models.items()}

    def __repr__(self) -> str:
        right = np.mean([t.right_answer for t in self.trained_on])
        sound = np.mean([all(step_labels(t.question, t.steps)) for t in self.trained_on])
        return (f"two reward models, trained on {len(self.trained_on):,} chains: {right:.0%} of them end in the right answer, "
                f"{sound:.0%} by right steps only")


def train_verifiers(labeller: Any, loss: Any, *, traces: int = 3000, steps: int | None = None, seed: int = 0) -> Verifiers:
    """Both models on the same traces, with the learner's labels and loss."""
    small = quick() or grading()
    seen = make_traces(traces, seed=seed)
    models = train_reward_models(seen, labeller, loss, steps=steps or (60 if small else 600), seed=seed)
    return Verifiers(models, seen, make_traces(400, seed=seed + 1000))


def _candidates(verifiers: Verifiers, questions: int) -> list[list[Trace]]:
    firsts = make_traces(questions, seed=77)
    return [make_traces(CANDIDATES, seed=10_000 + i, question=t.question) for i, t in enumerate(firsts)]


def _sound(t: Trace) -> bool:
    return all(step_labels(t.question, t.steps))


@experiment
def best_of_n_curves(verifiers: Verifiers, trace_score: Any, best_of_n: Any, *, questions: int = 100, how: str = "prod") -> Finding:
    """Picks with a right answer, and picks with sound steps, against n.

    The numbers: `ns`, `right` and `sound` ({judge: one share per n}), with "any": the share of n with at least one;
    `process_best` and `process_last`: sound picks of the process model at its best n and at the largest.
    """
    questions = 20 if quick() else questions
    ns = [1, 2, 4, 8, 16, 32, 64]
    names = {**JUDGES, "any": "at least one among n"}
    found: dict[str, dict[str, list[list[float]]]] = {target: {judge: [] for judge in names} for target in ("right", "sound")}
    for group in tqdm(_candidates(verifiers, questions), desc="questions", leave=False):
        truth = {"right": [t.right_answer for t in group], "sound": [_sound(t) for t in group]}
        scores = {judge: [trace_score(row, how) for row in p.tolist()] for judge, p in verifiers.probabilities(group).items()}
        for target, good in truth.items():
            for judge in names:
                by = scores.get(judge, [float(g) for g in good])
                found[target][judge].append([best_of_n(by, good, n) for n in ns])
    panels: dict[str, dict[str, Any]] = {}
    means: dict[str, dict[str, list[float]]] = {}
    for target, title in (("right", "right answer"), ("sound", "right answer by right steps")):
        panels[title] = {names[judge]: _interval(np.array(rows)) for judge, rows in found[target].items()}
        means[target] = {judge: np.array(rows).mean(axis=0).tolist() for judge, rows in found[target].items()}
    right, sound = means["right"], means["sound"]
    return Finding(
        f"{questions} unseen questions, {CANDIDATES} chains each. From one chain to the best of {ns[-1]}, right answers go from "
        f"{right['outcome'][0]:.0%} to "
        f"{right['outcome'][-1]:.0%} (outcome model) and {right['process'][-1]:.0%} (process model); right answers by right steps from "
        f"{sound['outcome'][0]:.0%} to {sound['outcome'][-1]:.0%} and {sound['process'][-1]:.0%}.",
        best_of_n_panels(ns, panels, subtitle="bars: 95 % interval, questions redrawn "
                                              "(bootstrap)"), {"ns": ns, "right": right, "sound": sound,
         "process_best": max(sound["process"]), "process_last": sound["process"][-1]})


def _interval(rows: NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """Mean over questions and its bootstrap interval, column by column."""
    picks = np.random.default_rng(0).integers(len(rows), size=(1000, len(rows)))
    drawn = rows[picks].mean(axis=1)
    return rows.mean(axis=0), np.quantile(drawn, 0.025, axis=0), np.quantile(drawn, 0.975, axis=0)


@experiment
def wrong_reasoning(verifiers: Verifiers, trace_score: Any, best_of_n: Any, *, questions: int = 100) -> Finding:
    """How many of the picks reach the right answer by wrong steps, for each judge and n.

    The numbers: `outcome`, `process` (share of picks at n = 64), `chance` (n = 1), `curves` {judge: one share per n}, and
    the ends `outcome_low` and `process_high` of their intervals.
    """
    questions = 20 if quick() else questions
    ns = [1, 4, 16, 64]
    rows: dict[str, list[list[float]]] = {judge: [] for judge in JUDGES}
    for group in _candidates(verifiers, questions):
        lucky = [t.right_answer and not _sound(t) for t in group]
        for judge, p in verifiers.probabilities(group).items():
            rows[judge].append([best_of_n([trace_score(row) for row in p.tolist()], lucky, n) for n in ns])
    means = {judge: np.array(values).mean(axis=0).tolist() for judge, values in rows.items()}
    # The best of all 64 is one chain, so its share is a count, and Wilson's interval fits where a bootstrap of zeros has no width.
    ends = {judge: wilson(round(values[-1] * questions), questions) for judge, values in means.items()}
    return Finding(
        f"Any one chain reaches the right answer by wrong steps in {means['outcome'][0]:.0%} of the cases. Of the picks among {ns[-1]}, "
        f"the outcome model's "
        f"do in {means['outcome'][-1]:.1%} (95 % interval {ends['outcome'][0]:.1%} to {ends['outcome'][1]:.1%}), the process model's in "
        f"{means['process'][-1]:.1%} ({ends['process'][0]:.1%} to {ends['process'][1]:.1%}).",
        bars("Right answers by wrong reasoning", "share of the "
                                                 "picks", [f"n = {n}" for n in ns], {JUDGES[j]: means[j] for j in JUDGES}, form=".1%"),
        {"chance": means["outcome"][0], "outcome": means["outcome"][-1], "process": means["process"][-1], "curves": means,
         "outcome_low": ends["outcome"][0], "process_high": ends["process"][1]})


@experiment
def partial_credit(verifiers: Verifiers) -> Finding:
    """Mean step probability of chains by their number of wrong steps, and whether the lowest step is the planted error.

    The numbers: `located_outcome`, `located_process` (share of chains with one error whose lowest step is that error), `credit` {judge:
    {wrong steps: mean}}, `lucky_outcome`, `lucky_process` (mean credit of right answers by wrong steps).
    """
    traces = verifiers.unseen
    labels = np.array([step_labels(t.question, t.steps) for t in traces])
    wrong = (~labels).sum(axis=1)
    lucky = np.array([t.right_answer for t in traces]) & (wrong > 0)
    groups: dict[str, dict[int, Any]] = {}
    data: dict[str, Any] = {"credit": {}}
    for judge, p in verifiers.probabilities(traces).items():
        credit = p.mean(axis=1)
        groups[JUDGES[judge]] = {int(c): credit[wrong == c] for c in sorted(set(wrong.tolist())) if (wrong == c).sum() >= 5}
        single = wrong == 1
        data[f"located_{judge}"] = float(np.mean(p[single].argmin(axis=1) == labels[single].argmin(axis=1)))
        data[f"lucky_{judge}"] = float(credit[lucky].mean())
        data["credit"][judge] = {c: float(np.mean(v)) for c, v in groups[JUDGES[judge]].items()}
    truth = {int(c): 1 - c / labels.shape[1] for c in groups[JUDGES["process"]]}
    groups["true share of right steps"] = {c: [v] for c, v in truth.items()}
    one = data["credit"]
    return Finding(
        f"{len(traces)} unseen chains. With one wrong step of five, full credit would be 80 %; the process model gives "
        f"{one['process'].get(1, float('nan')):.0%}, "
        f"the outcome model {one['outcome'].get(1, float('nan')):.0%}. Where exactly one step is wrong, the lowest score stands at that "
        f"step in "
        f"{data['located_process']:.0%} of the chains (process) and {data['located_outcome']:.0%} (outcome; chance: 20 %).",
        credit_by_errors(groups), data)
