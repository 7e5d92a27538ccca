"""2.6 measured: chunk sizes, hit rates, refusals, and what SmolLM2 answers with the right, the retrieved and the wrong passages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from aieng.agents.prompts import wilson as share_and_interval
from aieng.data.corpus import Corpus
from aieng.data.questions import load_questions, load_rag_evaluation
from aieng.figures.language import bars, curves
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment
from aieng.vectors.distances import knn

CONDITIONS = {"closed": "no passage", "gold": "the right passage", "retrieved": "three retrieved passages", "wrong": "three wrong passages"}


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927): right also near 0 and 1 and for small n."""
    _, low, high = share_and_interval(successes, n, z)
    return low, high


def exact_search(embeddings: Any) -> Callable[[Any, int], tuple[Any, Any]]:
    """A search by cosine over unit rows: (queries, k) to (scores, ids), as `retrieve` wants it."""
    return lambda queries, k: knn(queries, embeddings, k, "ip")


@experiment
def chunk_sizes(chunk: Any, encoder: Any, corpus: Corpus, *, sizes: tuple[int, ...] = (12, 25, 50, 100)) -> Finding:
    """Is the answer in the nearest chunk? One long text, several sizes, without and with an overlap of half a chunk.

    The numbers: `hits` {"no overlap" | "overlap": one share per size}, `chunks` (their number, same form), `questions`.
    """
    asked = [q for q in load_questions() if q.answerable][: 8 if quick() else 32]
    texts = {p.title: p.text for p in corpus.passages}
    document = "\n".join(texts[str(q.passage)] for q in asked)
    queries = encoder.encode([q.question for q in asked])
    hits: dict[str, list[float]] = {"no overlap": [], "overlap of half a chunk": []}
    made: dict[str, list[int]] = {name: [] for name in hits}
    for size in sizes:
        for name, overlap in zip(hits, (0, size // 2)):
            pieces = [document[a:b] for a, b in chunk(document, size, overlap)]
            _, ids = knn(queries, encoder.encode(pieces), 1, "ip")
            hits[name].append(float(np.mean([q.accepts(pieces[int(i)]) for q, i in zip(asked, ids[:, 0])])))
            made[name].append(len(pieces))
    best = max(hits["overlap of half a chunk"])
    return Finding(
        f"{len(asked)} passages as one text of {len(document.split()):,} words, {len(asked)} questions. In chunks of {sizes[0]} words the "
        f"answer is "
        f"in the nearest chunk for {hits['no overlap'][0]:.0%} of the questions, with overlap {hits['overlap of half a chunk'][0]:.0%}; "
        f"the best "
        f"with overlap is {best:.0%}. Overlap costs about twice the chunks ({made['overlap of half a chunk'][1]} instead of "
        f"{made['no overlap'][1]} at {sizes[1]} words). Large chunks hold more, so they hit more often by their mere size; they also fill "
        f"the prompt.",
        curves("Is the answer in the nearest chunk?", "words a chunk (log scale)", "share of questions", list(sizes), hits, log_x=True),
        {"hits": hits, "chunks": made, "questions": len(asked)})


@experiment
def hit_rates(retrieve: Any, encoder: Any, corpus: Corpus) -> Finding:
    """How often the right passage is among the first k of all of the corpus.

    The numbers: `at` {k: share}, `mean_ms` a question, `found` (per question, list of (id, score)).
    """
    questions = [q for q in load_questions() if q.answerable]
    if quick():
        questions = questions[:16]
    place = {p.title: p.id for p in corpus.passages}
    search = exact_search(corpus.embeddings)
    begin = time.perf_counter()
    found = [list(retrieve(q.question, encoder.encode, search, 10)) for q in questions]
    ms = 1e3 * (time.perf_counter() - begin) / len(questions)
    at = {k: float(np.mean([place[str(q.passage)] in [i for i, _ in hits[:k]] for q, hits in zip(questions, found)]))
          for k in (1, 2, 3, 5, 10)}
    ends = [wilson(round(share * len(questions)), len(questions)) for share in at.values()]
    return Finding(
        f"Among {len(corpus):,} passages, the one that holds the answer comes first for {at[1]:.0%} of {len(questions)} questions and is "
        f"among the "
        f"first three for {at[3]:.0%} ({ms:.0f} ms a question, embedding included). No generator can make good what retrieval has missed.",
        bars("Is the right passage among the first "
             "k?", "share of questions (95 % interval)", [f"k = {k}" for k in at], {"hit rate": list(at.values())},
             low=[a for a, _ in ends], high=[b for _, b in ends], as_percent=True),
        {"at": at, "mean_ms": ms, "first": at[1], "third": at[3]})


@experiment
def refuse_by_score(retrieve: Any, encoder: Any, corpus: Corpus) -> Finding:
    """Refusing when nothing scores high enough: unanswerable questions caught against answerable ones turned away.

    The numbers: `threshold` (the best of the grid), `caught`, `turned_away` (shares at it).
    """
    questions = load_questions()
    if quick():
        questions = questions[:12] + questions[-12:]
    search = exact_search(corpus.embeddings)
    best = np.array([retrieve(q.question, encoder.encode, search, 1)[0][1] for q in questions])
    can = np.array([q.answerable for q in questions])
    grid = np.linspace(0.2, 0.9, 29)
    caught = [float((best[~can] < t).mean()) for t in grid]
    away = [float((best[can] < t).mean()) for t in grid]
    pick = int(np.argmax(np.array(caught) - np.array(away)))
    return Finding(
        f"Where the nearest passage scores below {grid[pick]:.2f}, refuse: that catches {caught[pick]:.0%} of the {int((~can).sum())} "
        f"unanswerable questions and turns away {away[pick]:.0%} of the {int(can.sum())} answerable ones. A similar passage need not hold "
        "the answer (“What did Alan Turing eat for breakfast?” finds Alan Turing), so no threshold separates the two cleanly.",
        curves("Refusing by the retriever's score", "smallest score that is answered (cosine)", "share of questions refused", grid,
               {"unanswerable": caught, "answerable": away}, markers=False),
        {"threshold": float(grid[pick]), "caught": caught[pick], "turned_away": away[pick]})


def admits(answer: str) -> bool:
    """Whether an answer says that it does not know."""
    marks = ("not know", "don't know", "cannot answer", "can't answer", "no answer", "not mention", "not provide")
    return any(mark in answer.lower() for mark in marks)


@experiment
def recorded_accuracy() -> Finding:
    """The recorded evaluation of all questions: accuracy by what stood in the prompt, with Wilson intervals.

    The numbers: `right` {condition: share}, `ends` {condition: (low, high)}, `n`, `told_refused` and `told_false` (shares of refusals among
    unanswerable and answerable questions when told to admit it), `retrieved_refused` (the same without being told).
    """
    record, questions = load_rag_evaluation(), load_questions()
    asked = [i for i, q in enumerate(questions) if q.answerable]
    others = [i for i, q in enumerate(questions) if not q.answerable]
    right = {c: sum(questions[i].accepts(record["answers"][c][i]) for i in asked) for c in CONDITIONS}
    ends = {c: wilson(n, len(asked)) for c, n in right.items()}
    share = {c: n / len(asked) for c, n in right.items()}
    told = record["answers"]["told"]
    refused = {"told_refused": _share(told, others), "told_false": _share(told, asked),
               "retrieved_refused": _share(record["answers"]["retrieved"], others)}
    return Finding(
        f"Recorded on {record['date']} ({record['machine']}; SmolLM2, greedy, {record['settings']['max_new_tokens']} tokens, "
        f"{len(asked)} questions). The answer is right without any passage for {share['closed']:.0%}, with the right passage "
        f"{share['gold']:.0%}, with "
        f"three retrieved ones {share['retrieved']:.0%}, with three wrong ones {share['wrong']:.0%}. On the {len(others)} unanswerable "
        f"questions it "
        f"refuses {refused['retrieved_refused']:.0%} of the time by itself and {refused['told_refused']:.0%} when told to admit that it "
        f"does not "
        f"know, at the price of refusing {refused['told_false']:.0%} of the answerable ones.",
        bars("Right answers by what stood in the prompt", "share of questions (95 % interval)", list(CONDITIONS.values()),
             {"right": [share[c] for c in CONDITIONS]}, low=[ends[c][0] for c in CONDITIONS],
             high=[ends[c][1] for c in CONDITIONS], as_percent=True),
        {**share, "ends": ends, "n": len(asked), **refused})


def _share(answers: list[str], rows: list[int]) -> float:
    return sum(admits(answers[i]) for i in rows) / len(rows)


@experiment
def answer_live(retrieve: Any, build_prompt: Any, answerer: Any, encoder: Any, corpus: Corpus, *, count_tokens: Callable[[str], int],
                numbers: tuple[int, ...] = (0, 1, 43, 64), k: int = 3, budget: int = 400) -> Finding:
    """A few questions end to end, here and now (about ten seconds): retrieve, build the prompt, let the model answer.

    The numbers: `answers` (texts), `right`, `asked`, `tokens` (of the longest prompt).
    """
    questions = load_questions()
    search = exact_search(corpus.embeddings)
    numbers = numbers[:1] if quick() else numbers
    answers, lines, longest = [], [], 0
    for n in numbers:
        question = questions[n]
        found = retrieve(question.question, encoder.encode, search, k)
        prompt, used = build_prompt(question.question, [corpus.texts[i] for i, _ in found], budget, count_tokens)
        longest = max(longest, count_tokens(prompt))
        answers.append(answerer.chat(prompt, 20))
        cited = ", ".join(f"[{place}] {corpus.passages[found[i][0]].title} ({found[i][1]:.2f})" for place, i in enumerate(used, 1))
        mark = "no passage answers this" if not question.answerable else "right" if question.accepts(answers[-1]) else "not right"
        lines.append(f"- **{question.question}** `{' '.join(answers[-1].split())}` ({mark})  \n  from {cited}")
    right = sum(questions[n].accepts(a) for n, a in zip(numbers, answers))
    return Finding(
        f"Live, on this machine: {right} of {sum(questions[n].answerable for n in numbers)} answerable questions right; the longest prompt "
        f"has {longest} of {budget} tokens.\n\n" + "\n".join(lines),
        data={"answers": answers, "right": right, "asked": len(answers), "tokens": longest})
