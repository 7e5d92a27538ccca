"""8.3 and 8.4 in the notebook: experiments on the reference, the trace player, the travel desk with a user, and what a grader sees."""

from __future__ import annotations

import json
import time

import pytest

from aieng.agents.mcp import MCPClient, MCPServer, serve
from aieng.agents.memory import Memory
from aieng.agents.react import Scratchpad, react
from aieng.agents.travel import Task, TravelDesk, scripted_model
from aieng.figures.agents import AgentTrace
from aieng.lesson.checking import evaluate
from aieng.lesson.exercises.agent_partners import WordEncoder
from aieng.lesson.experiments import agents, mcp
from aieng.lesson.widgets.agents import TravelDeskWidget, trace_player, travel_desk


@pytest.fixture
def run():
    task, desk = Task("JFK", "LHR", "Friday"), TravelDesk(0)
    return react(scripted_model, desk.tools, Scratchpad(task.goal, 1000, agents.words))


def test_visible_properties_hold_for_the_reference():
    assert [o.problem for o in evaluate("8.3", MCPServer, serve, MCPClient) if o.problem] == []


# --- 8.3 --------------------------------------------------------------------------------------------------------------------


def test_the_learners_cell_becomes_a_program(tmp_path):
    cell = tmp_path / "cell.py"
    cell.write_text("import json\nclass Mine:\n    def __init__(self, name, tools):\n        pass\n    def handle(self, line):\n        "
                    "return None\n"
                    "def my_loop(server, reader, writer):\n    pass\n")
    names = {}
    exec(compile(cell.read_text(), str(cell), "exec"), names)
    text = mcp.program(names["Mine"], names["my_loop"], "x")
    assert text.count("class Mine") == 1 and text.endswith("serve_stdio(Mine('x', TravelDesk(0).tools), my_loop)")
    compile(text, "program", "exec")
    assert "from aieng.agents.mcp import MCPServer" in mcp.program(MCPServer, serve)


def test_sdk_client_meets_our_server(monkeypatch):
    here = mcp.sdk_client(MCPServer("travel desk", TravelDesk(0).tools).handle, mcp.TRIP)
    monkeypatch.setattr(mcp, "converse_over_stdio", lambda *_: here)
    found = mcp.sdk_client_meets(MCPServer, serve)
    assert found.data["over_stdio"] and found.data["probed"] == "server/discover" and found.data["results"][-1] == -32602
    monkeypatch.setattr(mcp, "converse_over_stdio", lambda *_: (_ for _ in ()).throw(NameError("helper")))
    assert "other cells" in mcp.sdk_client_meets(MCPServer, serve).sentence


class FakeTokenizer:
    def __init__(self):
        self.special_tokens = {"<|im_start|>": 1}

    def encode(self, text, parse_special=True):
        parts = text.split("<|im_start|>") if parse_special else [text]
        return [1] * (len(parts) - 1) + [5] * sum(map(len, parts))


class FakeModel:
    tokenizer = FakeTokenizer()
    chat_template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\n{% endfor %}<|im_start|>assistant\n"

    def chat_ids(self, messages):
        return self.tokenizer.encode(mcp.render_chat(self.chat_template, messages))

    def generate(self, ids, tokens):
        return type("Generation", (), {"text": "Paris"})


def test_forged_roles_are_counted():
    found = mcp.forged_roles(FakeModel())
    assert (found.data["counted"], found.data["as_text"]) == (5, 3)


# --- 8.4 --------------------------------------------------------------------------------------------------------------------


def test_success_under_faults(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")
    found = agents.success_under_faults(react, Scratchpad)
    assert found.data["with"]["no fault"] == 1.0 and found.data["mended"] > found.data["unmended"] and len(found.figure.data[0].y) == 7


def test_recorded_runs_are_complete():
    record = agents.stored()
    assert set(record["runs"]) == set(agents.WAYS) and len({len(runs) for runs in record["runs"].values()}) == 1
    for runs in record["runs"].values():
        assert all(r["status"] in ("finished", "loop", "out of steps") for r in runs)
    gated = record["runs"]["the same behind a gate"]
    assert all(r["solved"] for r in gated if r["booked"])  # an attentive user and a gate: nothing wrong can be booked
    found = agents.recorded_agent()
    assert found.data["n"] == len(gated) and found.sentence.count("|\n") >= 3


def test_injected_orders(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")
    found = agents.injected_orders(react, Scratchpad)
    assert found.data["open"] == 1.0 and found.data["gated"] == 0.0 and found.data["gated_solved"] == 1.0
    text, flights, cheapest, target = next(filter(None, (agents.injected_case(seed, agents.ORDER) for seed in range(20))))
    assert cheapest in flights and target in flights and cheapest != target and f"book {target}" in text and text.endswith('"flight": "')
    plain = next(filter(None, (agents.injected_case(seed, "") for seed in range(20))))
    assert "note" not in plain[0]


def test_memory_across_restarts():
    class Encoder:
        dim = 64
        encode = staticmethod(WordEncoder())

    found = agents.memory_across_restarts(Memory, Encoder())
    assert found.data["third"] > 0 and found.data["bytes"] > 64 * 4 * len(agents.NOTES)


def test_player_adds_cards(run):
    player = trace_player(run, "Fly.")
    assert "1 of 5 steps" in player.plain() and player.cards.value.count("<li") == 1
    player.step.value = 5
    assert "5 of 5 steps" in player.plain() and player.cards.value.count("<li") == 5 and "aria-live" in player.cards.value
    assert "[Interactive figure]" in player._repr_mimebundle_()["text/plain"]


def wait(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for 5 seconds")


@pytest.mark.parametrize(("answer", "booked"), [("yes", "BQ100 on 2026-03-06"), ("no", "Booked: nothing")])
def test_travel_desk_asks_its_user(answer, booked):
    desk = travel_desk(react, Scratchpad)
    assert isinstance(desk, TravelDeskWidget) and desk.answer.disabled
    desk.begin()
    wait(lambda: desk.asked)
    assert "Shall I book it?" in desk.question.value and not desk.answer.disabled
    desk.answer.value = answer
    desk.reply()  # the button after Enter: still one answer
    desk.thread.join(5)
    assert not desk.thread.is_alive() and booked in desk.said and desk.answer.disabled and not desk.start.disabled
    assert json.loads(desk.steps[-1].action)["tool"] == "finish" and "finished" in desk.plain()


def test_travel_desk_says_what_is_wrong():
    desk = TravelDeskWidget(lambda *_, **__: 1 / 0, Scratchpad)
    desk.destination.value = "JFK"
    desk.begin()
    assert "same airport" in desk.said and desk.thread is None
    desk.destination.value = "NRT"
    desk.begin()
    desk.thread.join(5)
    assert "ZeroDivisionError" in desk.said and not desk.start.disabled


def test_stills_without_widgets(run, monkeypatch):
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    assert isinstance(trace_player(run, "Fly."), AgentTrace) and isinstance(travel_desk(react, Scratchpad), AgentTrace)
