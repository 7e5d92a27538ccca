"""Interactive pictures of 8.4: a run replayed card by card, and a travel desk at which the learner is the user."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, get_args

import ipywidgets as widgets

from aieng.agents.travel import CITIES, FAULTS, Task, TravelDesk, Weekday, guards, scripted_model, with_faults
from aieng.figures.agents import AgentTrace
from aieng.lesson.boxes import WordedBox
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import _Assist, player

PATIENCE = 600.0  # seconds that a question waits for its answer


def cards(steps: Sequence[Any], title: str, status: str = "", shown: int | None = None) -> AgentTrace:
    """Steps with thought, action and observation as a picture."""
    return AgentTrace([(s.thought, s.action, s.observation) for s in steps], status, shown, title)


class TracePlayer(WordedBox):
    """A run's cards, one more with each step of the slider or the player.

    Parameters
    ----------
    trace : AgentTrace
    """

    def __init__(self, trace: AgentTrace) -> None:
        self.trace = trace
        controls, self.step = player(max(len(trace.steps), 1), "step", "How many steps of the run to show; arrow keys move "
                                                                       "it", interval=1500)
        self.cards = widgets.HTML()
        row = widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))
        super().__init__([row, _Assist(figures=0), self.cards])
        self.add_class("aieng-explorer")
        self.step.observe(lambda _: self.update(), "value")
        self.update()

    def shown(self) -> AgentTrace:
        """What is visible now."""
        return AgentTrace(self.trace.steps, self.trace.status, self.step.value, self.trace.title)

    def update(self) -> None:
        """Show as many cards as the slider says; screen readers hear the new one."""
        self.cards.value = f'<div role="status" aria-live="polite">{self.shown().html()}</div>'

    def plain(self) -> str:
        """The cards so far, in words."""
        return "[Interactive figure] " + self.shown().plain()


@drawn
def trace_player(run: Any, goal: str) -> TracePlayer | AgentTrace:
    """Replay a run step by step; all of it at once where no widget makes sense."""
    trace = cards(run.steps, f"Goal: {goal}", run.status)
    return TracePlayer(trace) if interactive_allowed() and trace.steps else trace


class TravelDeskWidget(WordedBox):
    """The travel agent with the learner as its user. The agent runs in a thread, so that its question can wait for the answer.

    Parameters
    ----------
    react, scratchpad : the learner's
    model : callable, text to text
    """

    def __init__(self, react: Any, scratchpad: Any, model: Callable[[str], str] = scripted_model) -> None:
        self._react, self._scratchpad, self._model = react, scratchpad, model
        self._answers: queue.Queue[str] = queue.Queue()
        self.thread: threading.Thread | None = None
        self.steps: list[Any] = []
        self.status, self.title, self.asked = "", "The travel desk", ""
        look = {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="auto")}
        places = [(f"{city} ({code})", code) for code, city in CITIES.items()]
        self.origin = widgets.Dropdown(options=places, value="JFK", description="from:", tooltip="Airport of departure", **look)
        self.destination = widgets.Dropdown(options=places, value="LHR", description="to:", tooltip="Airport of arrival", **look)
        self.weekday = widgets.Dropdown(options=get_args(Weekday), value="Friday", description="next:", tooltip="Day of the week", **look)
        faults = [("nothing", ""), *((f, f) for f in FAULTS)]
        self.fault = widgets.Dropdown(options=faults, description="what goes wrong:", tooltip="Fault of the tools", **look)
        self.start = widgets.Button(description="Start", tooltip="Send the agent off")
        self.question = widgets.HTML()
        self.answer = widgets.Text(placeholder="yes, or no", description="your answer:", disabled=True, continuous_update=False,
                                   tooltip="Answer to the agent's question", **look)
        self.send = widgets.Button(description="Answer", disabled=True, tooltip="Send the answer")
        self.cards = widgets.HTML()
        wrap = widgets.Layout(flex_flow="row wrap", align_items="center")
        super().__init__([widgets.HBox([self.origin, self.destination, self.weekday, self.fault, self.start], layout=wrap), self.question,
                          widgets.HBox([self.answer, self.send], layout=wrap), self.cards])
        self.add_class("aieng-explorer")
        self.start.on_click(lambda _: self.begin())
        self.send.on_click(lambda _: self.reply())
        self.answer.observe(lambda _: self.reply(), "value")  # Enter, or leaving the field
        self._say("Choose a trip and press Start.")

    def begin(self) -> None:
        """Start a run, unless one is going on."""
        if self.thread is not None and self.thread.is_alive():
            return
        if self.origin.value == self.destination.value:
            self._say("From and to are the same airport: choose two.")
            return
        self.steps, self.status = [], ""
        self.start.disabled = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def ask(self, question: str) -> str:
        """The tool ask_user: show the question, wait for the answer. TimeoutError after ten minutes."""
        self.asked = question
        self.answer.disabled = self.send.disabled = False
        self._say(f"The agent asks: {question}")
        try:
            return self._answers.get(timeout=PATIENCE)
        except queue.Empty:
            raise TimeoutError("the user did not answer") from None
        finally:
            self.asked, self.answer.value = "", ""
            self.answer.disabled = self.send.disabled = True

    def reply(self) -> None:
        """Hand the answer to the agent that waits for it; an empty one is not sent."""
        if self.asked and self.answer.value.strip():
            self.asked = ""  # first, so that Enter and the button together send one answer
            self._answers.put(self.answer.value)

    def render(self) -> str:
        """For the loop: this widget stands between it and the learner's scratchpad."""
        return str(self._pad.render())

    def add(self, step: Any) -> None:
        """For the loop: note the step, and show it."""
        self._pad.add(step)
        self.steps.append(step)
        self._show()

    def _run(self) -> None:
        task = Task(self.origin.value, self.destination.value, self.weekday.value)
        self.title = f"Goal: {task.goal}"
        self._say("The agent is at work.")
        try:
            desk = TravelDesk(0, answer=self.ask)
            tools = with_faults(desk.tools, self.fault.value, 0.35, seed=3) if self.fault.value else desk.tools
            self._pad = self._scratchpad(task.goal, 1000, lambda text: len(text.split()))
            run = self._react(self._model, tools, self, checks=guards(tools), max_steps=14)
            self.status = run.status
            booked = ", ".join(f"{flight} on {date}" for flight, date in desk.bookings) or "nothing"
            self._say(f"{run.answer or 'The run ended: ' + run.status} Booked: {booked}.")
        except Exception as error:  # whatever the learner's function raises
            self._say(f"{type(error).__name__}: {error}")
        finally:
            self.start.disabled = False
        self._show()

    def _say(self, text: str) -> None:
        self.said = text
        self.question.value = f'<div class="aieng-alt" role="status" aria-live="assertive"><p>{escape(text)}</p></div>'

    def _show(self) -> None:
        self.cards.value = cards(self.steps, self.title, self.status).html()

    def plain(self) -> str:
        """The cards so far, in words."""
        return "[Interactive] " + cards(self.steps, self.title, self.status).plain() + f"\n{self.said}"


@drawn
def travel_desk(react: Any, scratchpad: Any) -> TravelDeskWidget | AgentTrace:
    """The desk with a field for the user's answers; where no widget makes sense, one run whose user says yes."""
    if interactive_allowed():
        return TravelDeskWidget(react, scratchpad)
    task, desk = Task("JFK", "LHR", "Friday"), TravelDesk(0)
    run = react(scripted_model, desk.tools, scratchpad(task.goal, 1000, lambda text: len(text.split())), checks=guards(desk.tools))
    return cards(run.steps, f"Goal: {task.goal}", run.status)
