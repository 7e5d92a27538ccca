"""Figures of section 08's agents: what they say in words, in HTML and in bars."""

import numpy as np
import pytest

from aieng.figures.agents import AgentTrace, MessageLog, success_bars
from aieng.figures.theme import alt_text

STEPS = [("I <look>", '{"tool": '
                      '"look"}', "Error: slow"), ("Again", '{"tool": '
                                                           '"look"}', "a & b"), ("mumble", "", "Error: no "
                                                                                               "action"), ("Done", '{"tool": '
                                                                                                                   '"finish"}', "")]


def test_trace_shows_as_many_cards_as_asked():
    trace = AgentTrace(STEPS, "finished", 2, "Goal: x")
    assert trace.html().count("<li") == 2 and "2 more" in trace.html() and "&lt;look&gt;" in trace.html() and "a &amp; b" in trace.html()
    assert "2 of 4 steps" in trace.plain() and "Done" not in trace.plain()
    whole = AgentTrace(STEPS, "finished")
    assert whole.html().count("<li") == 4 and whole.plain().endswith("end: finished") and "(none could be read)" in whole.plain()
    assert whole.html().count("✗ Observation") == 2  # an error is marked by more than colour
    assert set(whole._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_message_log_says_who_sent_what():
    log = MessageLog([("client", '{"id": 1}'), ("server", "<x>")], "Talk")
    assert log.plain() == 'Talk\nclient → server {"id": 1}\nserver → client <x>'
    assert "&lt;x&gt;" in log.html() and 'aria-label="Talk"' in log.html()


def test_bars_have_intervals_and_words():
    figure = success_bars("T", ["a", "b"], {"without": ([0.2, 0.5], [0.1, 0.4], [0.4, 0.6]), "with": ([0.9, 1.0], [0.8, 0.9], [0.95, 1.0])})
    first, second = figure.data
    assert np.allclose(first.error_x.array, [0.2, 0.1]) and np.allclose(second.error_x.arrayminus, [0.1, 0.1])
    assert figure.data[0].marker.pattern.shape != figure.data[1].marker.pattern.shape
    assert "without: a 20% (from 10% to 40%) and b 50%" in alt_text(figure)
    with pytest.raises(ValueError, match="empty"):
        success_bars("T", [], {})
    with pytest.raises(ValueError, match="3 names"):
        success_bars("T", ["a", "b", "c"], {"x": ([0.1], [0.0], [0.2])})
