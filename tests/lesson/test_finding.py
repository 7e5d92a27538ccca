"""Whose function an experiment says it measured: the learner's, or the course's own where `use` handed that out."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest
import torch

from aieng.agents.mcp import MCPClient, MCPServer
from aieng.agents.prompts import ab_test
from aieng.lesson import course
from aieng.lesson.experiments import mcp, nf4_and_lora, paging, prompts, scalar_quantization, tiled_attention, tokens
from aieng.lesson.finding import Finding, whose
from aieng.quantization.nf4 import nf4_levels, quantize_nf4
from aieng.text.bpe_training import encode, train_bpe
from aieng.transformer.flash_attention import flash_attention_forward
from aieng.transformer.paged_cache import BlockAllocator, BlockTable
from aieng.vectors.scalar_quantizer import ScalarQuantizer


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")


def as_learner(answer):
    """The same function or class, defined here."""
    if isinstance(answer, type):
        return type(answer.__name__, (answer,), {"__module__": __name__})
    return lambda *args, **kwargs: answer(*args, **kwargs)


def read(finding: Finding) -> str:
    """All that a person reads of a finding: sentence, the claims' sentences, and every text of the figure."""
    figure = finding.figure.to_json() if finding.figure is not None else ""
    return " ".join([finding.sentence, *(value for value in finding.data.values() if isinstance(value, str)), figure])


# {name: (the course's answers, the experiment called with them)}
EXPERIMENTS = {
    "1.4": ((ScalarQuantizer,), lambda quantizer: scalar_quantization.bytes_and_recall(
        quantizer, np.random.default_rng(0).standard_normal((300, 8), dtype=np.float32), n_queries=20)),
    "2.1": ((train_bpe, encode), lambda train, code: tokens.tokens_against_merges(train, code)),
    "4.1": ((BlockAllocator, BlockTable), lambda allocator, table: paging.memory_utilisation(allocator, table)),
    "4.4": ((flash_attention_forward,), lambda forward: tiled_attention.time_and_memory(forward, sizes=(64, 128))),
    "4.4, traffic": ((flash_attention_forward,), lambda forward: tiled_attention.slow_memory_traffic(forward)),
    "5.4": ((nf4_levels, quantize_nf4), lambda levels, quantize: nf4_and_lora.nf4_against_int4(
        levels, quantize, {"random": torch.randn(8, 64, generator=torch.Generator().manual_seed(0))})),
    "8.1": ((ab_test,), lambda test: prompts.principles(test)),
    "8.3": ((MCPServer, MCPClient), lambda server, client: mcp.cost_of_a_call(server, client)),
}


def test_every_helper_of_the_plan_is_the_courses():
    places = [helper.split(":") for section in course.SECTIONS for e in section.exercises for helper in e.helper.values()]
    assert len(places) > 40
    assert whose(*(getattr(importlib.import_module(module), name) for module, name in places)) == "the course's"


@pytest.mark.parametrize("answers", [(as_learner(encode),), (encode, as_learner(train_bpe)), (as_learner(BlockTable), BlockTable)])
def test_one_answer_of_the_learner_makes_it_theirs(answers):
    assert (whose(*answers), whose(*answers, alone=True)) == ("your", "yours")


def test_the_courses_stands_alone_as_it_is():
    assert (whose(encode), whose(encode, alone=True)) == ("the course's", "the course's")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_say_whose_function_ran(name):
    answers, run = EXPERIMENTS[name]
    own, theirs = read(run(*answers)), read(run(*map(as_learner, answers)))
    assert "the course's" in own.lower() and not re.search(r"\byours?\b", own, re.IGNORECASE)
    assert re.search(r"\byours?\b", theirs, re.IGNORECASE)


def test_pages_are_the_learners_where_half_of_them_is():
    assert "with your pages" in paging.memory_utilisation(as_learner(BlockAllocator), BlockTable).sentence


def test_a_quantizer_alone_has_its_owners_whole_name_in_the_legend():
    answers, run = EXPERIMENTS["1.4"]
    assert {trace.name for trace in run(*answers).figure.data} >= {"the course's", "float16", "faiss"}
