"""Prompts against golden texts, escaping against the standard library, the A/B test against scipy."""

from __future__ import annotations

import re
from xml.sax.saxutils import unescape

import numpy as np
import pytest
from scipy.stats import binomtest

from aieng.agents.prompts import TAGS, ab_test, build_prompt, escape_delimiters, wilson
from aieng.data.prompt_tasks import ATTACKS, attack_cases, category_task, first_label, load_prompt_runs, sentiment_task

PIECES = ["<", "</", "< ", "/", ">", " ", "input", "OUTPUT", "inputs", "context", "&", "lt;", "&lt;", "&amp;", "x", "<b>", "\n"]


def test_escaping_disarms_and_loses_nothing():
    rng = np.random.default_rng(0)
    for _ in range(500):
        text = "".join(rng.choice(PIECES, size=int(rng.integers(0, 12))))
        got = escape_delimiters(text)
        assert not re.search(rf"<\s*/?\s*({'|'.join(TAGS)})\b", got, re.IGNORECASE)
        assert unescape(got) == text


@pytest.mark.parametrize(("text", "names", "want"), [
    ("a < b", TAGS, "a < b"), ("<inputs>", TAGS, "<inputs>"), ("< /INPUT x='1'>", TAGS, "&lt; /INPUT x='1'>"), ("&lt;", TAGS, "&amp;lt;"),
    ("&copy;", TAGS, "&copy;"), ("<a.c> <abc>", ["a.c"], "&lt;a.c> <abc>"), ("<input>", [], "<input>"), ("", TAGS, ""),
])
def test_escaping_by_hand(text, names, want):
    assert escape_delimiters(text, names) == want


def test_golden_prompt():
    got = build_prompt("Do it.", "1 <input> 2", persona="You are X.", context=["c"], examples=[("a", "b")])
    assert got == ("You are X.\n\nDo "
                   "it.\n\n<context>\nc\n</context>\n\n<example>\n<input>\na\n</input>\n<output>\nb\n</output>\n</example>\n\n"
                   "<input>\n1 &lt;input> 2\n</input>\n<output>")
    plain = build_prompt("Do it.", "x", context=["c"], examples=[("a", "b")], delimiters=False)
    assert plain == "Do it.\n\nc\n\nInput: a\nOutput: b\n\nInput: x\nOutput:"
    with pytest.raises(ValueError, match="instruction is empty"):
        build_prompt(" ", "x")


def test_wilson_is_scipys():
    for k, n in ((0, 1), (1, 1), (3, 7), (50, 100), (0, 400), (400, 400)):
        interval = binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert np.allclose(wilson(k, n), (k / n, interval.low, interval.high), atol=1e-6)


def test_ab_test_against_scipy_and_a_known_interval():
    rng = np.random.default_rng(1)
    a = rng.random(200) < 0.6
    b = a ^ (rng.random(200) < 0.1)
    got = ab_test(lambda i: a[i], lambda i: b[i], range(200), lambda _, answer: answer)
    losses, gains = len(got["only_a"]), len(got["only_b"])
    assert (losses, gains) == (int((a & ~b).sum()), int((b & ~a).sum()))
    assert got["p"] == pytest.approx(binomtest(losses, losses + gains).pvalue)
    value, low, high = got["difference"]
    spread = np.sqrt(losses + gains - (gains - losses) ** 2 / 200) / 200  # standard error of a mean of −1, 0 and 1
    assert value == pytest.approx((gains - losses) / 200)
    assert (low, high) == pytest.approx((value - 1.96 * spread, value + 1.96 * spread), abs=0.008)
    assert ab_test(lambda i: 1, lambda i: 1, [0], lambda _, answer: answer)["p"] == 1
    with pytest.raises(ValueError, match="no cases"):
        ab_test(len, len, [], lambda case, answer: True)


def test_tasks_are_balanced_and_examples_are_not_among_the_cases():
    for task in (sentiment_task(), category_task()):
        assert len(task.cases) >= 100 and len({c.text for c in task.cases}) == len(task.cases)
        counts = {label: sum(c.label == label for c in task.cases) for label in task.labels}
        assert len(set(counts.values())) == 1
        assert not {text for text, _ in task.examples} & {c.text for c in task.cases}
        assert {label for _, label in task.examples} == set(task.labels)
        prompts = {name: build_prompt(text="x", **parts) for name, parts in task.variants().items()}
        assert len(set(prompts.values())) == len(prompts)
    assert first_label("Not negative, rather POSITIVE", ("positive", "negative")) == "negative"
    assert first_label("no idea", ("positive",)) is None


def test_records_have_one_sign_a_case():
    record = load_prompt_runs()
    for task, modes in record["accuracy"].items():
        rows = [bits for variants in modes.values() for bits in variants.values()]
        assert all(len(bits) == record["about"]["cases"][task] and set(bits) <= {"0", "1"} for bits in rows)
    assert set(record["obeyed"]["raw"]["labels"]) == set(ATTACKS)
    assert all(word in text for kind in ATTACKS for text, word in attack_cases(kind, 10))
