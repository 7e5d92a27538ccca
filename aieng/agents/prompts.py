"""Prompts made of named parts, with data kept inside delimiters, and a fair comparison of two ways of asking.

Sources: for the interval of a share, Wilson 1927; for the paired test, McNemar 1947, in its exact form; for the paired bootstrap,
Efron, Tibshirani 1993, chapter 13; for delimiters as markers of untrusted text, Hines et al. 2024, "Spotlighting" (arXiv:2403.14720).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

TAGS = ("context", "example", "input", "output")  # what `build_prompt` puts around data


def escape_delimiters(text: str, names: Sequence[str] = TAGS) -> str:
    """A text in which no tag of these names can be read, with everything else as it was.

    Parameters
    ----------
    text : str
        Data from somewhere: a document, a user's message, a tool's output.
    names : sequence of str
        Names of tags, of letters, digits and underscores.

    Returns
    -------
    str
        The ``<`` of every opening or closing tag of these names is written ``&lt;``: of ``<input>``, ``</input>``, and also of
        ``< / INPUT kind="x">``, since a model does not read as strictly as a parser (capital letters, white space after ``<`` and after
        ``/``, attributes). A name ends where no letter, digit or underscore follows: ``<inputs>`` is another tag. The ``&`` of every
        ``&lt;``, ``&gt;`` and ``&amp;`` is written ``&amp;``, so that `xml.sax.saxutils.unescape` gives the text back.
    """
    text = re.sub(r"&(?=(?:lt|gt|amp);)", "&amp;", text)
    if not names:
        return text
    return re.sub(rf"<(?=\s*/?\s*(?:{'|'.join(map(re.escape, names))})(?!\w))", "&lt;", text, flags=re.IGNORECASE)


def build_prompt(
    instruction: str, text: str, *, persona: str = "", context: Sequence[str] = (), examples: Sequence[tuple[str, str]] = (),
    delimiters: bool = True,
) -> str:
    r"""A prompt of named parts, ready to be continued by the answer.

    Parameters
    ----------
    instruction : str
        What to do. Yours, so it is not escaped.
    text : str
        What to do it with.
    persona : str
        Who the model should be; a first block of its own unless empty. Yours too.
    context : sequence of str
        Background, one block each.
    examples : sequence of (input, output)
        Shown in this order, one block each.
    delimiters : bool
        Put data (context, examples, text) between tags and escape it with `escape_delimiters`; otherwise plain labels, nothing escaped.

    Returns
    -------
    str
        Persona, instruction, context, examples, input, with one empty line between blocks and no line break at the end. With delimiters
        a context is ``<context>\n…\n</context>``, an example
        ``<example>\n<input>\n…\n</input>\n<output>\n…\n</output>\n</example>``, the last block ``<input>\n…\n</input>\n<output>``.
        Without them a context stands as it is, an example is ``Input: …\nOutput: …``, the last block ``Input: …\nOutput:``.

    Raises
    ------
    ValueError
        An instruction of white space only.
    """
    if not instruction.strip():
        raise ValueError("the instruction is empty: say what the model shall do")

    def tagged(name: str, content: str) -> str:
        return f"<{name}>\n{content}\n</{name}>"

    blocks = [persona] if persona else []
    blocks.append(instruction)
    if delimiters:
        blocks += [tagged("context", escape_delimiters(c)) for c in context]
        for given, wanted in examples:
            pair = f"{tagged('input', escape_delimiters(given))}\n{tagged('output', escape_delimiters(wanted))}"
            blocks.append(tagged("example", pair))
        blocks.append(f"{tagged('input', escape_delimiters(text))}\n<output>")
    else:
        blocks += [*context, *(f"Input: {given}\nOutput: {wanted}" for given, wanted in examples), f"Input: {text}\nOutput:"]
    return "\n\n".join(blocks)


def ab_test(
    answer_a: Callable[[Any], Any], answer_b: Callable[[Any], Any], cases: Sequence[Any], correct: Callable[[Any, Any], bool],
    resamples: int = 10_000, seed: int = 0,
) -> dict[str, Any]:
    """Compare two ways of answering on the same cases.

    Parameters
    ----------
    answer_a, answer_b : callable
        A case to an answer; each is asked every case once, in order.
    cases : sequence, at least one
    correct : callable
        (case, answer) to whether it is right.
    resamples : int
        Of the bootstrap.
    seed : int

    Returns
    -------
    dict
        ``a``, ``b`` : (share, low, high), the share of right answers and its 95 % Wilson interval.
        ``difference`` : (b − a, low, high), with the 2.5 and 97.5 percentiles of the paired bootstrap: cases are drawn with replacement,
        each with both its answers.
        ``p`` : two-sided exact McNemar test: how likely are disagreements this one-sided, if each falls either way like a fair coin?
        1 where there are none.
        ``only_a``, ``only_b`` : places of the cases that only one got right: the ones to read.

    Raises
    ------
    ValueError
        No cases.
    """
    if len(cases) == 0:
        raise ValueError("no cases: there is nothing to compare on")
    right_a = np.array([bool(correct(case, answer_a(case))) for case in cases])
    right_b = np.array([bool(correct(case, answer_b(case))) for case in cases])
    difference = right_b.astype(float) - right_a  # −1, 0 or 1 a case
    drawn = np.random.default_rng(seed).integers(0, len(cases), (resamples, len(cases)))
    low, high = np.percentile(difference[drawn].mean(axis=1), (2.5, 97.5))
    only_a, only_b = np.flatnonzero(difference < 0).tolist(), np.flatnonzero(difference > 0).tolist()
    fewer, disagreements = min(len(only_a), len(only_b)), len(only_a) + len(only_b)
    tail = sum(math.comb(disagreements, i) for i in range(fewer + 1)) / 2**disagreements
    return {
        "a": wilson(int(right_a.sum()), len(cases)), "b": wilson(int(right_b.sum()), len(cases)),
        "difference": (float(difference.mean()), float(low), float(high)), "p": min(1.0, 2 * tail), "only_a": only_a, "only_b": only_b,
    }


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float, float]:
    """A share and Wilson's 95 % interval (share, low, high): sensible also at 0, at 1 and for small n."""
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return share, max(0.0, middle - half), min(1.0, middle + half)
