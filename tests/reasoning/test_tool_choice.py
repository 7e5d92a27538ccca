"""Prompts that are read once score as if they were read anew, and a choice is the largest score."""

import pytest
import torch

from aieng.reasoning.tool_choice import METHODS, CallPrompt, Chooser, call_grammar, calling_prompt
from aieng.reasoning.toolbox import calculator
from aieng.reasoning.tools import describe, judge_call

PURPOSES = {"add": "Adds two numbers.", "weather": "Says whether it rains."}


def log_probability(lm, prompt, after):
    start, ids = lm.tokenizer.encode(prompt), lm.tokenizer.encode(after)
    rows = lm.logits([*start, *ids])[len(start) - 1 : -1].float().log_softmax(-1)
    return float(rows[torch.arange(len(ids)), torch.tensor(ids)].sum())


def test_scores_are_what_reading_everything_gives(lm):
    chooser = Chooser(lm, PURPOSES)
    asked = "Will it rain in Rome today?"
    tools = "\n".join(f"- {name}: {text}" for name, text in PURPOSES.items())
    listed = f"Choose the tool that answers the question.\n\nTools:\n{tools}\n\nQuestion:"
    scores = {method: chooser.scores(asked, method) for method in METHODS[1:]}
    for name, text in PURPOSES.items():
        question = log_probability(lm, f"Tool {name}: {text}\nA question that this tool answers:", f" {asked}\n")
        assert scores["noisy channel"][name] == pytest.approx(question, abs=0.02)
        named = log_probability(lm, f"{listed} {asked}\nTool:", f" {name}\n")
        assert scores["constrained"][name] == pytest.approx(named, abs=0.02)
        assert scores["calibrated"][name] == pytest.approx(named - log_probability(lm, f"{listed}\nTool:", f" {name}\n"), abs=0.04)
    assert chooser.choose(asked, "noisy channel") == "weather"
    assert chooser.choose(asked, "free") in (None, *PURPOSES)
    with pytest.raises(ValueError, match="choose one of"):
        chooser.choose(asked, "by dice")


def test_call_prompt_is_the_chat_prompt(lm):
    descriptions = [describe(calculator)]
    prompt = CallPrompt(lm, descriptions, 64)
    for question in ("What is 2 plus 2?", "Why?"):
        whole = lm.chat_ids([{"role": "user", "content": calling_prompt(descriptions, question)}])
        made = lm.tokenizer.encode('{"tool"')
        assert torch.allclose(prompt.after(question)(made), lm.logits([*whole, *made])[-1], atol=5e-3)


def test_the_grammar_of_calls_over_smollm2s_tokens(lm):
    grammar = call_grammar(lm, [describe(calculator)], lead=" ")
    text = ' {"tool": "calculator", "arguments": {"expression": "3 * (4 + 5)"}}'
    state = grammar.start
    ids = lm.tokenizer.encode(text)
    for i, token in enumerate(ids):
        assert token in grammar.allowed(state, len(text) - i)
        state = grammar.advance(state, token)
    assert grammar.complete(state) and judge_call(text, {"calculator": calculator}) == ("valid", "calculator")
    assert lm.stop_id not in grammar.allowed(grammar.start, 90)
