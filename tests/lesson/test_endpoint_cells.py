"""The live cells of 06 and 08 with another model behind an OpenAI-compatible server (`transformers serve` on loopback)."""

from __future__ import annotations

import pytest

from aieng.agents.context import compose
from aieng.agents.react import Scratchpad, react
from aieng.data.corpus import load_corpus
from aieng.generation.constrained import constrained_decode
from aieng.lesson.experiments import agents, context, tools
from aieng.lesson.experiments import chain_of_thought as cot
from aieng.models.endpoint import MODEL, URL, chat_model, endpoint_from_environment
from aieng.reasoning.chain_of_thought import extract_answer, few_shot_prompt, zero_shot_prompt
from aieng.reasoning.tools import describe, run_tool


@pytest.fixture
def endpoint(served, monkeypatch):
    url, name, _, _ = served
    monkeypatch.setenv(URL, url)
    monkeypatch.setenv(MODEL, name)
    monkeypatch.setenv("AIENG_PACE", "quick")
    return endpoint_from_environment()


def test_word_problems_are_put_to_the_server(endpoint):
    model = chat_model(None)
    found = cot.prompts_live(zero_shot_prompt, few_shot_prompt, extract_answer, model)
    [problem] = cot.make_word_problems(1, 7)
    said = cot.ask(model, cot.direct_prompt(problem.question), cot.TOKENS["direct"], one_line=True)
    assert found.data["asked"] == 1 and " ".join(said.split("\nQ:")[0].split())[:150] in found.sentence


def test_passages_are_read_by_the_server(endpoint, lm):
    found = context.position_live(compose, lm, load_corpus())
    [answers] = found.data["answers"]
    assert len(answers) == 2 and all(isinstance(a, str) for a in answers)


def test_calls_are_written_by_the_server_and_masked_by_ours(endpoint):
    toolbox = tools.open_tools()
    found = tools.valid_calls(describe, constrained_decode, toolbox)
    assert found.data["live_invalid"] == 0 and endpoint.model in found.sentence
    loop = tools.answer_with_tools(describe, run_tool, constrained_decode, toolbox)
    question = tools.stored()["questions"][0]["question"]
    assert tools.quoted(endpoint.chat(question, 48), 90) in loop.sentence


def test_an_agent_runs_on_the_server(endpoint, lm):
    found = agents.live_agent(react, Scratchpad, lm)
    [run] = found.data["runs"].values()
    assert run.steps and agents.Brain(lm).name == repr(endpoint)
