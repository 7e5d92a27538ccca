"""6.1 Chain of thought: visible properties and hints."""

from __future__ import annotations

from functools import partial
from typing import Any

from aieng.lesson.checking import expect, expect_raises, hints, prop

hints(
    "6.1",
    "The prompts are plain strings: look where lines end, and that few-shot ends in `A:` without a space. For the answer, first decide "
    "*where* "
    "in the text to look, then what a number looks like.",
    "`re.search(r\"^Q:\", text, re.MULTILINE)` finds the line where the model goes on by itself. A pattern for numbers: an optional sign, "
    "an "
    "optional `$`, digits in groups of three with commas *or* plain digits, and a point only with digits behind it. A look-behind "
    "`(?<![\\w.)\\]])` before the sign says that nothing stands directly before it that could be subtracted from. For the vote: "
    "`Counter.most_common` keeps the order of arrival among equals.",
    "extract_answer: cut at the first line that starts with Q:; find the last \"answer is\" (any case); the first number after it; none "
    "there: the last number of the text; none at all: None. Take commas and $ out before `float`.\n"
    "self_consistency: count the answers that are not None; no votes: (None, 0.0); otherwise the most frequent one and its votes divided "
    "by "
    "the number of *all* chains.",
)

Fns = Any
_JUG = "A jug has 20 apples. If I add 5 and then eat 3, how many are left?"


@prop("6.1", "zero-shot: the question and the sentence")
def zero_shot(zero_shot_prompt: Fns, few_shot_prompt: Fns, extract_answer: Fns, self_consistency: Fns) -> None:
    got = zero_shot_prompt(f"  {_JUG}\n")
    expect(isinstance(got, str), f"zero_shot_prompt should return a string; yours is a {type(got).__name__}.")
    expect("step by step" in got, f"The sentence \"Let's think step by step.\" is missing; your prompt is {got!r}.")
    expect(got.startswith("Q: A jug"), f"The prompt begins with `Q: ` and the question, without the white space around it; yours begins "
                                       f"{got[:14]!r}.")
    want = f"Q: {_JUG}\nA: Let's think step by step."
    expect(got.rstrip() != got or got == want, f"The prompt ends with the point of the sentence; yours ends {got[-6:]!r}.")
    expect(got == want, f"Two lines are wanted, {want!r}; yours: {got!r}.")


@prop("6.1", "few-shot: examples in order, the last answer left open")
def few_shot(zero_shot_prompt: Fns, few_shot_prompt: Fns, extract_answer: Fns, self_consistency: Fns) -> None:
    examples = [("2 cats, 1 leaves?", "2 - 1 = 1.", "1"), ("3 and 4?", "3 + 4 = 7.", "7")]
    got = few_shot_prompt("5 and 6?", examples)
    expect(isinstance(got, str), f"few_shot_prompt should return a string; yours is a {type(got).__name__}.")
    expect(got.count("Q:") == 3, f"Two examples and the question make three lines with `Q:`; yours has {got.count('Q:')}.")
    expect(got.find("cats") < got.find("3 and 4"), "The examples should stand in the given order.")
    expect("2 - 1 = 1." in got, "The worked steps are missing: they are what few-shot chain of thought shows.")
    expect("The answer is 1." in got and "The answer is 7." in got, "Each example ends with `The answer is ….`, so that the model copies "
                                                                    "the form "
                                                                     "and the number can be found again.")
    expect(not got.endswith(" "), "The prompt ends with a space: the model's own tokens begin with one, and after two it writes worse. End "
                                  "in `A:`.")
    expect(got.endswith("A:"), f"The prompt should end with `A:`, the answer left open; yours ends {got[-12:]!r}.")
    expect("\n\nQ: 3 and 4" in got, "A blank line separates an example from what follows.")
    want = ("Q: 2 cats, 1 leaves?\nA: 2 - 1 = 1. The answer is 1.\n\nQ: 3 and 4?\nA: 3 + 4 = 7. The answer is 7.\n\nQ: 5 and 6?\nA:")
    expect(got == want, f"Wanted {want!r}; yours: {got!r}.")
    expect(len(examples) == 2, "Your function changed the list of examples.")


@prop("6.1", "the number that is declared the answer")
def declared(zero_shot_prompt: Fns, few_shot_prompt: Fns, extract_answer: Fns, self_consistency: Fns) -> None:
    got = extract_answer("20 + 5 = 25. 25 - 3 = 22. The answer is 22.")
    expect(not isinstance(got, str), "extract_answer returns a number, yours is text.")
    expect(got == 22, f"\"… The answer is 22.\" should give 22.0; yours: {got!r}.")
    got = extract_answer("The answer is 22 apples, because 20 + 5 = 25 and 3 are eaten.")
    expect(got != 3, "\"The answer is 22 apples, because … 3 are eaten.\": you took the last number; the first one after \"answer is\" "
                     "counts.")
    expect(got == 22, f"\"The answer is 22 apples, because …\" should give 22.0; yours: {got!r}.")
    got = extract_answer("The answer is 20. Wait, 3 were eaten. So the ANSWER IS 22. I had 25 first.")
    expect(got != 20, "A chain may correct itself: the *last* \"answer is\" counts, in capital letters too.")
    expect(got == 22, f"The last \"answer is\" (in any case) is followed by 22; yours: {got!r}.")
    got = extract_answer("20 + 5 = 25 apples, minus 3 leaves 22 apples")
    expect(got == 22, f"Without \"answer is\" the last number counts, 22 here; yours: {got!r}.")
    got = extract_answer("We get 7. The answer is obvious.")
    expect(got == 7, f"No number follows \"answer is\" here, so the last number of the text counts: 7; yours: {got!r}.")
    for empty in ("", "I do not know."):
        expect(extract_answer(empty) is None, f"{empty!r} holds no number: None, not {extract_answer(empty)!r}.")


@prop("6.1", "what a number looks like")
def numbers(zero_shot_prompt: Fns, few_shot_prompt: Fns, extract_answer: Fns, self_consistency: Fns) -> None:
    for text, want, why in (
        ("That makes 1,234.50 in all", 1234.5, "a comma groups thousands, a point begins the fraction"),
        ("The answer is $18.", 18, "the dollar sign and the point of the sentence are no part of the number"),
        ("It is -3", -3, "a minus directly before the digits is a sign"),
        ("It is −3 degrees", -3, "the typographic minus − is a sign as well"),
        ("25-3", 3, "in 25-3 the minus subtracts; the number is 3"),
        ("(2+4)-3", 3, "after a bracket the minus subtracts"),
        ("25 - 3", 3, "a minus with a space after it subtracts"),
        ("The answer is 0.5.", 0.5, "0.5 and then the point of the sentence"),
        ("two of 3, 4, 5", 5, "commas with a space separate numbers"),
    ):
        got = extract_answer(text)
        expect(got == want, f"{text!r} should give {want:g} ({why}); yours: {got!r}.")


@prop("6.1", "the model's next question is not its answer")
def next_question(zero_shot_prompt: Fns, few_shot_prompt: Fns, extract_answer: Fns, self_consistency: Fns) -> None:
    got = extract_answer("20 + 5 - 3 = 22. The answer is 22.\n\nQ: A box holds 9 pens.\nA: The answer is 9.")
    expect(got != 9, "After its answer the model asks itself a new question, on a line that starts with Q:, and you took the answer to "
                     "that one.")
    expect(got == 22, f"What stands before the line with Q: answers 22; yours: {got!r}.")
    got = extract_answer("The answer to Q: is this, 8")
    expect(got == 8, f"\"Q:\" in the middle of a line does not end the text; here 8 is the last number, yours: {got!r}.")


@prop("6.1", "the vote")
def vote(zero_shot_prompt: Fns, few_shot_prompt: Fns, extract_answer: Fns, self_consistency: Fns) -> None:
    got = self_consistency([22.0, 25.0, 22.0, 23.0, 22.0])
    expect(isinstance(got, tuple) and len(got) == 2, f"self_consistency returns (answer, share); yours: {got!r}.")
    expect(got[0] == 22, f"Three of five chains say 22; your vote says {got[0]!r}. It is a count, not a mean.")
    expect(abs(got[1] - 0.6) < 1e-9, f"3 of 5 votes are a share of 0.6; yours: {got[1]!r}.")
    got = self_consistency([1.0, 100.0, 1.0])
    expect(got[0] == 1, f"1, 100, 1: the most frequent is 1, yours {got[0]!r}.")


@prop("6.1", "ties, and chains without an answer")
def ties(zero_shot_prompt: Fns, few_shot_prompt: Fns, extract_answer: Fns, self_consistency: Fns) -> None:
    got = self_consistency([7.0, 3.0, 3.0, 7.0])
    expect(got[0] == 7, f"7 and 3 have two votes each; 7 came first, yours says {got[0]!r}.")
    got = self_consistency([None, None, None, 4.0])
    expect(got[0] is not None, "Three chains have no answer (None) and one says 4: None has no vote.")
    expect(got[0] == 4, f"Three chains have no answer and one says 4: the answer is 4, yours {got[0]!r}.")
    expect(abs(got[1] - 1) > 1e-9, "One of four chains said 4: the share is of all chains, 0.25, also of those that have no answer.")
    expect(abs(got[1] - 0.25) < 1e-9, f"One of four chains said 4: a share of 0.25, yours {got[1]!r}.")
    got = self_consistency([0.0, 0.0, 5.0])
    expect(got[0] == 0, f"An answer of 0 is an answer: 0, 0, 5 gives 0, yours {got[0]!r}. Ask `is not None`.")
    for none in ([], [None, None]):
        expect(tuple(self_consistency(none)) == (None, 0.0), f"{none} has no answer: (None, 0.0), yours {self_consistency(none)!r}.")


@prop("6.1", "inputs and errors")
def errors(zero_shot_prompt: Fns, few_shot_prompt: Fns, extract_answer: Fns, self_consistency: Fns) -> None:
    for blank in ("", "  \n"):
        expect_raises(ValueError, partial(zero_shot_prompt, blank), f"zero_shot_prompt({blank!r}) should raise ValueError.")
        expect_raises(ValueError, partial(few_shot_prompt, blank, [("q", "s", "1")]), f"few_shot_prompt({blank!r}, …) should raise "
                                                                                      f"ValueError.")
    expect_raises(ValueError, partial(few_shot_prompt, "3 and 4?", []), "few_shot_prompt without any example should raise ValueError.")
