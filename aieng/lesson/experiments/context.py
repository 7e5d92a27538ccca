"""8.2 measured: reranking, diversity, packing, answers against the budget, and where in the context a model reads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.agents.context import INSTRUCTION, ndcg, question_likelihood
from aieng.agents.prompts import wilson
from aieng.data.corpus import Corpus
from aieng.data.prompt_tasks import load_context_runs
from aieng.data.questions import Question, load_questions
from aieng.figures.context import Share, share_curves
from aieng.figures.language import bars, curves
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment, whose
from aieng.models.endpoint import chat_model


def _questions() -> list[Question]:
    return [q for q in load_questions() if q.answerable]


def _share(bits: str) -> tuple[float, float, float]:
    return wilson(bits.count("1"), len(bits))


def _standardised(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each question's scores with mean 0 and standard deviation 1 over its candidates."""
    out: NDArray[np.float64] = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
    return out


@lru_cache(maxsize=1)
def _candidates() -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Ids (questions, 20) of the recorded candidates, and their scores by each way of ranking, same shape."""
    record = load_context_runs()
    ids = np.array([[i for i, _ in row] for row in record["candidates"]], dtype=np.int64)
    cosine = np.array([[s for _, s in row] for row in record["candidates"]])
    likelihood = np.array(record["likelihood"])
    return ids, {"retrieved (cosine)": cosine, "reranked (question likelihood)": likelihood,
                 "both, standardised and added": _standardised(cosine) + _standardised(likelihood)}


def _gold(corpus: Corpus, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    place = {p.title: p.id for p in corpus.passages}
    gold: NDArray[np.bool_] = ids == np.array([place[str(q.passage)] for q in _questions()])[:, None]
    return gold


@experiment
def reranking(ab_test: Any, corpus: Corpus) -> Finding:
    """Retrieval order against reranked order on section 02's questions: nDCG@10 and whether the right passage comes first.

    The numbers: `ndcg` and `first` {ranking: mean}, `gain` (nDCG of both − of retrieved) with `low`, `high` (paired bootstrap), `test` (the
    learner's ab_test on "comes first"), `questions`.
    """
    ids, rankings = _candidates()
    gold = _gold(corpus, ids)
    gains = {name: np.array([ndcg(g[np.argsort(-s, kind="stable")]) for s, g in zip(scores, gold)]) for name, scores in rankings.items()}
    first = {name: np.array([bool(g[np.argmax(s)]) for s, g in zip(scores, gold)]) for name, scores in rankings.items()}
    start, last = next(iter(rankings)), list(rankings)[-1]
    difference = gains[last] - gains[start]
    drawn = np.random.default_rng(0).integers(0, len(difference), (10_000, len(difference)))
    low, high = np.percentile(difference[drawn].mean(axis=1), (2.5, 97.5))
    test = ab_test(lambda i: first[start][i], lambda i: first[last][i], list(range(len(ids))), lambda _, answer: answer)
    ends = [wilson(int(f.sum()), len(f)) for f in first.values()]
    about = load_context_runs()["about"]
    return Finding(
        f"{len(ids)} questions, the {ids.shape[1]} nearest passages of each (the right one is always among them). nDCG@10 goes from "
        f"{gains[start].mean():.3f} in retrieval order to {gains[list(rankings)[1]].mean():.3f} by the question's likelihood and "
        f"{gains[last].mean():.3f} by both together: {difference.mean():+.3f} ({low:+.3f} … {high:+.3f}, paired bootstrap). The right "
        f"passage comes first for {first[start].mean():.0%}, {first[list(rankings)[1]].mean():.0%} and {first[last].mean():.0%}; "
        f"{whose(ab_test)} `ab_test` on the first and the last: {len(test['only_b'])} questions won, {len(test['only_a'])} lost, "
        f"p = {test['p']:.2g}. Retrieval was good to begin with, so little was left to gain. Likelihoods recorded on {about['date']} "
        f"({about['machine']}, {about['model']}).",
        bars("Is the right passage first?", "share of questions (95 % interval)", list(first), {"first": [e[0] for e in ends]},
             low=[e[1] for e in ends], high=[e[2] for e in ends], as_percent=True),
        {"ndcg": {n: float(g.mean()) for n, g in gains.items()}, "first": {n: float(f.mean()) for n, f in first.items()},
         "before": float(gains[start].mean()), "after": float(gains[last].mean()), "gain": float(difference.mean()), "low": float(low),
         "high": float(high), "test": test, "p": test["p"], "questions": len(ids)})


@experiment
def rerank_live(lm: Any, corpus: Corpus, number: int = 10, k: int = 5) -> Finding:
    """One question's nearest passages scored again, here and now.

    The numbers: `scores` (one per candidate), `order` (their places, best first).
    """
    question, ids = _questions()[number], _candidates()[0][number][: 2 if quick() else k]
    scores = [question_likelihood(lm, corpus.texts[i], question.question) for i in ids]
    order = np.argsort([-s for s in scores]).tolist()
    rows = "\n".join(f"| {rank} | {place + 1} | {scores[place]:.2f} | {corpus.texts[ids[place]][:110]} |"
                     for rank, place in enumerate(order, 1))
    head = "| new rank | rank by cosine | log P(question given passage), a token | passage |\n|---|---|---|---|"
    return Finding(f"**{question.question}**\n\n{head}\n{rows}",
                   data={"scores": scores, "order": order})


@experiment
def diversity(mmr: Any, encoder: Any, corpus: Corpus, *, trade_offs: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 1.0), k: int = 5) -> Finding:
    """Five picks from a pool in which the three nearest passages were stored three times, in other words each, as copies on the web are.

    The numbers: `right`, `different` {trade_off: share of questions with the right passage; different passages among the picks}.
    """
    questions, ids = _questions()[: 4 if quick() else 24], _candidates()[0]
    place = {p.title: p.id for p in corpus.passages}
    copies = [[f(corpus.passages[int(i)].text) for i in ids[n][:3] for f in (_shouted, _reworded)] for n in range(len(questions))]
    vectors = encoder.encode([q.question for q in questions] + list(itertools.chain(*copies)))
    asked, copied = vectors[: len(questions)], vectors[len(questions) :].reshape(len(questions), 6, -1)
    right: dict[float, float] = {}
    different: dict[float, float] = {}
    for trade_off in trade_offs:
        hits, kinds = [], []
        for n, question in enumerate(questions):
            source = [*ids[n].tolist(), *np.repeat(ids[n][:3], 2).tolist()]
            picks = [source[i] for i in mmr(asked[n], np.vstack([corpus.embeddings[ids[n]], copied[n]]), k, trade_off)]
            hits.append(place[str(question.passage)] in picks)
            kinds.append(len(set(picks)))
        right[trade_off], different[trade_off] = float(np.mean(hits)), float(np.mean(kinds))
    some = trade_offs[len(trade_offs) // 2]
    return Finding(
        f"By relevance alone, the {k} places hold {different[1.0]:.1f} different passages on average: copies took the rest. With "
        f"trade-off {some} they hold {different[some]:.1f}; the right passage is among them for {right[some]:.0%} of {len(questions)} "
        f"questions (relevance alone: {right[1.0]:.0%}). Novelty has a price too: at {trade_offs[0]} it is {right[trade_offs[0]]:.0%}.",
        curves(f"What the {k} places hold", "trade-off (1: relevance only)", f"different passages among {k}", list(trade_offs),
               {"different passages": list(different.values())}, levels={"all different": float(k)}),
        {"right": right, "different": different})


def _shouted(text: str) -> str:
    title, _, rest = text.partition(":")
    return f"{title.upper()} -- {rest.strip()}."


def _reworded(text: str) -> str:
    title, _, rest = text.partition(":")
    return f"Definition of {title}: it means {rest.strip()}"


@experiment
def packing(pack_context: Any, lm: Any, corpus: Corpus, *, budgets: tuple[int, ...] = (40, 60, 80, 120, 180, 260)) -> Finding:
    """Greedy packing against the learner's exact one, on real candidates: values are standardised rerank scores, costs are tokens.

    The numbers: `share` {way: [share of the best value, one a budget]}, `worst` (of greedy by value), `questions`.
    """
    ids, rankings = _candidates()
    rows = range(0, len(ids), 16 if quick() else 4)
    value = np.exp(_standardised(rankings["reranked (question likelihood)"]))
    share: dict[str, list[float]] = {"most valuable first": [], "most value per token first": []}
    worst = 1.0
    for budget in budgets:
        found: dict[str, list[float]] = {name: [] for name in share}
        for n in rows:
            values, costs = value[n].tolist(), [len(lm.tokenizer.encode(corpus.texts[i])) for i in ids[n]]
            best = sum(values[i] for i in pack_context(values, costs, budget))
            if best <= 0:
                continue
            for name, keys in (("most valuable first", values), ("most value per token first", [v / c for v, c in zip(values, costs)])):
                found[name].append(greedy(values, costs, budget, keys) / best)
                worst = min(worst, found[name][-1])
        for name, parts in found.items():
            share[name].append(float(np.mean(parts)))
    return Finding(
        f"{len(rows)} questions, 20 candidates each. Taking the most valuable first reaches {min(share['most valuable first']):.0%} of "
        f"the best value in its worst budget, the best value per token {min(share['most value per token first']):.0%}; the worst single "
        f"case reached {worst:.0%}. The more room there is, the less it matters.",
        curves("Greedy packing against the best", "budget (tokens)", "share of the best value (mean)", list(budgets), share,
               levels={"exact": 1.0}),
        {"share": share, "worst": worst, "questions": len(rows)})


def greedy(values: Sequence[float], costs: Sequence[int], budget: int, keys: Sequence[float]) -> float:
    """Value of taking passages in order of `keys`, each that still fits."""
    total = 0.0
    for i in sorted(range(len(values)), key=lambda i: -keys[i]):
        if costs[i] <= budget:
            budget -= costs[i]
            total += values[i]
    return total


@experiment
def budgets(ab_test: Any) -> Finding:
    """The recorded answers against the budget, by the order of the passages; retrieval order against reranked order by the learner's test.

    The numbers: `right` {order: {budget: share}}, `holds` {budget: share of prompts with the right passage}, `over` and `prompts` (prompts
    over their budget, and all), `questions`, and the shares that the sentence names.
    """
    record = load_context_runs()
    names = {"retrieved": "retrieved, best first", "reranked": "reranked, best first", "reranked, edges": "reranked, best at the edges",
             "reranked, best last": "reranked, best last"}
    rows = {names[n]: {float(b): _share(r["right"]) for b, r in record["budgets"][n].items()} for n in names}
    right = {n: {int(b): s[0] for b, s in points.items()} for n, points in rows.items()}
    over = sum(t > int(b) for r in record["budgets"].values() for b, row in r.items() for t in row["tokens"])
    prompts = sum(len(row["tokens"]) for r in record["budgets"].values() for row in r.values())
    first, last = right[names["reranked"]], right[names["reranked, best last"]]
    holds = {int(b): r["holds"].count("1") / len(r["holds"]) for b, r in record["budgets"]["reranked"].items()}
    best = max(first, key=lambda b: first[b])
    most = max(first)
    pair = [record["budgets"][name]["128"]["right"] for name in ("retrieved", "reranked")]
    test = ab_test(lambda i: pair[0][i] == "1", lambda i: pair[1][i] == "1", list(range(len(pair[0]))), lambda _, answer: answer)
    gain, low, high = test["difference"]
    about = record["about"]
    return Finding(
        f"{about['questions']} questions. Reranked and best first, {first[48]:.0%} are answered with 48 tokens (the right passage fits "
        f"for {holds[48]:.0%}), {first[best]:.0%} with {best}, and {first[most]:.0%} with {most}, sixteen times the smallest: what is "
        f"added after the right passage adds cost and no answers. With the best passage *last*, {last[128]:.0%} at 128 tokens become "
        f"{last[512]:.0%} at 512. The intervals are wide (about ±12 points), so only the large gaps mean anything: reranked instead of "
        f"retrieved order at 128 tokens is {gain:+.0%} ({low:+.0%} … {high:+.0%}), p = {test['p']:.2g} by {whose(ab_test)} `ab_test`. "
        f"Of {prompts:,} prompts, {over} were over their budget. Recorded on {about['date']} ({about['machine']}; "
        "`assets/make_context.py`).",
        share_curves("Right answers against the budget", "budget of the whole prompt (tokens, logarithmic)",
                     "right answers (95 % interval)", rows, log_x=True),
        {"right": right, "holds": holds, "over": over, "prompts": prompts, "questions": about["questions"], "small": first[48],
         "best": first[best], "best_budget": best, "most": first[most], "last_128": last[128], "last_512": last[512]})


@experiment
def lost_in_the_middle() -> Finding:
    """The recorded answers by the place of the right passage among 10 and among 20.

    The numbers: `right` {passages: {place: share}}, `cases`, `first`, `middle`, `last` (shares among 10 passages; middle is places 4 to 7).
    """
    record = load_context_runs()
    rows = {f"{length} passages": {float(place): _share(r["right"]) for place, r in places.items()}
            for length, places in record["positions"].items()}
    ten = record["positions"]["10"]
    cases = len(ten["1"]["right"])
    first, middle, last = (_over_questions([ten[p]["right"] for p in at]) for at in (("1",), ("4", "5", "6", "7"), ("10",)))
    logs = {p: float(np.mean(r["log_probability"])) for p, r in ten.items()}
    bottom = min(logs, key=lambda p: logs[p])
    twenty = {p: _share(r["right"])[0] for p, r in record["positions"]["20"].items()}
    end = ("The end is no better than the middle, as far as these cases can tell" if last[1] <= middle[2] and middle[1] <= last[2] else
           f"The end differs from the middle by {last[0] - middle[0]:+.0%}")
    return Finding(
        f"The same {cases} prompts each time (64 questions, two draws of the other passages), only the right passage moves. Among 10 "
        f"passages it is used {first[0]:.0%} of the time ({first[1]:.0%} … {first[2]:.0%}) when it comes first, {middle[0]:.0%} "
        f"({middle[1]:.0%} … {middle[2]:.0%}) in places 4 to 7, {last[0]:.0%} ({last[1]:.0%} … {last[2]:.0%}) when it comes last "
        f"(intervals by resampling questions). The finer measure, the log-probability of the right answer, goes from {logs['1']:.2f} in "
        f"place 1 to {logs[bottom]:.2f} in place {bottom} and ends at {logs['10']:.2f}. Among 20: {twenty['1']:.0%} first, "
        f"{twenty['9']:.0%} in place 9, {twenty['19']:.0%} in place 19. {end}. Liu et al. (2023) found a U, both ends good, in much "
        "larger models.",
        share_curves("Where does the right passage have to stand?", "place of the right passage", "right answers (95 % interval)", rows),
        {"right": {n: {int(p): s[0] for p, s in points.items()} for n, points in rows.items()}, "cases": cases, "first": first[0],
         "middle": middle[0], "last": last[0], "ends": {"first": first, "middle": middle, "last": last}})


def _over_questions(rows: Sequence[str], questions: int = 64) -> Share:
    """A share with its bootstrap interval, questions resampled whole: two prompts with the same question are not independent."""
    right = np.array([[int(sign) for sign in bits] for bits in rows])  # (places, draws · questions), a draw after the other
    each = right.reshape(len(rows), -1, questions).mean(axis=(0, 1))  # (questions,)
    drawn = np.random.default_rng(0).integers(0, questions, (4000, questions))
    low, high = np.percentile(each[drawn].mean(axis=1), (2.5, 97.5))
    return float(each.mean()), float(low), float(high)


@experiment
def position_live(compose: Any, lm: Any, corpus: Corpus, numbers: tuple[int, ...] = (1, 24, 35)) -> Finding:
    """A few questions here and now: the right passage first, and in the middle of seven (some ten seconds).

    An endpoint answers where the environment names one.

    The numbers: `right` (first, middle), `answers`.
    """
    ids, answerer = _candidates()[0], chat_model(lm)
    place = {p.title: p.id for p in corpus.passages}
    lines, right = [], [0, 0]
    answers = []
    for n in numbers[:1] if quick() else numbers:
        question = _questions()[n]
        gold, others = place[str(question.passage)], [int(i) for i in ids[n] if i != place[str(question.passage)]][:6]
        said = []
        for at in (0, 3):
            texts = [corpus.texts[i] for i in [*others[:at], gold, *others[at:]]]
            in_turn = [-float(i) for i in range(len(texts))]
            prompt, _ = compose(INSTRUCTION, question.question, texts, in_turn, 10**6, lambda t: len(lm.tokenizer.encode(t)), "best_first")
            said.append(" ".join(answerer.chat(prompt, 20).split()))
            right[at > 0] += question.accepts(said[-1])
        answers.append(said)
        lines.append(f"| {question.question} | `{said[0]}` | `{said[1]}` |")
    head = "| question | right passage first | right passage fourth of seven |\n|---|---|---|\n"
    return Finding(head + "\n".join(lines) + f"\n\nRight: {right[0]} and {right[1]} of {len(answers)}.",
                   data={"right": right, "answers": answers})


def window_of(corpus: Corpus, number: int, others: int = 5) -> tuple[Question, list[str], list[str], int]:
    """What the context window's picture starts from: a question, titles and texts of its passages, and which of them holds the answer.

    The right passage comes third, after the two nearest wrong ones.
    """
    question, ids = _questions()[number], _candidates()[0][number]
    place = {p.title: p.id for p in corpus.passages}
    gold = place[str(question.passage)]
    rest = [int(i) for i in ids if i != gold][:others]
    listed = [*rest[:2], gold, *rest[2:]]
    return question, [corpus.passages[i].title for i in listed], [corpus.texts[i] for i in listed], 2
