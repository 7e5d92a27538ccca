"""8.4 A ReAct agent with memory: visible properties and hints."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from aieng.lesson.checking import CheckFailed, expect, expect_raises, hints, prop
from aieng.lesson.exercises.agent_partners import Desk, ExactIndex, Pad, Scripted, WordEncoder, act

hints(
    "8.4",
    "parse_step cuts twice: first everything from \"Observation:\" on goes, then \"Action:\" parts thought and call. Scratchpad renders "
    "with "
    "one step more, counts, and stops before it is too much. react keeps a dict from each action to what came of it. Memory is two lists "
    "and an index that are kept in step.",
    "In react turn an action into a key that does not depend on the order of arguments: json.dumps([name, arguments], sort_keys=True). "
    "Before "
    "running a tool ask: was this key tried, and was the last observation no error, or were there max_attempts already? Then it is a "
    "repetition. A step is added to the list and to the scratchpad in every case; only then look whether the run is over.",
    "render: kept = 0; while one step more exists and the text with it fits: kept += 1; return the text with the last `kept` steps.\n"
    "react: for each turn: text = llm(scratchpad.render()); try parse_step, except ValueError → observation \"Error: …\"; finish → over; "
    "repetition → \"Error: …\", count it; else run_tool, then the check of that tool, and note it under the key. Add the step. Over if "
    "finished, two repetitions, or an error while not recover.\n"
    "Memory.add: known? its id. Else encode([text]), index.add, texts.append, vectors.append. save: save_arrays(path, \"Memory\", …). "
    "load: "
    "load_arrays, put the vectors into the index and the texts into the list.",
)


@prop("8.4", "a thought and a call are read")
def parsed(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    got = parse_step('Thought: I need a date.\nAction: {"tool": "next_date", "arguments": {"weekday": "Friday"}}')
    expect(isinstance(got, tuple) and len(got) == 3, f"parse_step returns (thought, tool, arguments); yours gave {got!r}.")
    expect(got == ("I need a "
                   "date.", "next_date", {"weekday": "Friday"}), f"Read ('I need a date.', 'next_date', {{'weekday': 'Friday'}}) from "
                                                                          f"the two lines; yours is {got!r}.")
    got = parse_step(' I look\nin two lines. \nAction:\n```json\n{"tool": "look"}\n```')
    expect(got == ("I look\nin two "
                   "lines.", "look", {}), f"Without \"Thought:\" (the prompt ends with it), and a call in a code fence without "
                                                         f"arguments; yours is {got!r}.")
    two = parse_step('a\nAction: {"tool": "one", "arguments": {}}\nThought: b\nAction: {"tool": "two", "arguments": {}}')
    expect(two[:2] == ("a", "one"), f"Of two actions the first counts: nothing has come of it yet. Yours is {two!r}.")


@prop("8.4", "invented observations do not count")
def invented(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    text = 'I search.\nAction: {"tool": "look", "arguments": {"what": "a"}}\nObservation: {"tool": "pay", "arguments": {}}'
    expect(parse_step(text)[1] == "look", "What follows the model's own \"Observation:\" is its invention, and your tool came from there.")
    for text, why in (("I am thinking still.", "no action"), ("Action: look at it", "no JSON call after Action:"), ("", "nothing at all"),
                      ('Observation: fine\nAction: {"tool": "pay"}', "an action that leans on an invented observation"),
                      ('I use {"tool": "look"} now.', "a call without the mark Action:")):
        expect_raises(ValueError, lambda text=text: parse_step(text), f"{why} ({text!r}) should raise ValueError.")  # type: ignore[misc]


def step(thought: str, action: str, observation: str) -> Any:
    from aieng.agents.react import Step

    return Step(thought, action, observation)


def words(text: str) -> int:
    return len(text.split())


@prop("8.4", "the scratchpad's form")
def form(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    pad = scratchpad("Fly home.", 100, words, instruction="Do it.")
    expect(pad.render() == "Do it.\n\nGoal: Fly "
                           "home.\nThought:", f"Without steps: 'Do it.\\n\\nGoal: Fly home.\\nThought:'; yours is {pad.render()!r}.")
    pad.add(step("I look.", '{"tool": "look"}', "one\n  two"))
    want = 'Do it.\n\nGoal: Fly home.\nThought: I look.\nAction: {"tool": "look"}\nObservation: one two\nThought:'
    expect(pad.render() == want, f"With one step (its texts on one line each):\n{want!r}\nyours is\n{pad.render()!r}")
    pad = scratchpad("Fly home.", 100, words, instruction="Do it.", notes=["The user likes windows.", "No dogs."])
    want = "Do it.\n\nGoal: Fly home.\nRemembered:\n- The user likes windows.\n- No dogs.\nThought:"
    expect(pad.render() == want, f"Notes of the long-term memory follow the goal:\n{want!r}\nyours is\n{pad.render()!r}")


@prop("8.4", "within the budget, the newest first")
def budget(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    for most in (14, 21, 30, 40, 60):
        pad = scratchpad("Fly home.", most, words, instruction="Do it.")
        for n in range(5):
            pad.add(step(f"thought{n}", f"act{n}", f"seen{n} " + "x " * n))
            text = pad.render()
            expect(words(text) <= most, f"A budget of {most} words, and after {n + 1} steps the text has {words(text)}: count the whole "
                                        "text, "
                                        "with the line about what was left out.")
        kept = [n for n in range(5) if f"thought{n}" in text]
        sizes = [6 + n for n in range(5)]
        fits = max(m for m in range(6) if 6 + (5 if m < 5 else 0) + sum(sizes[5 - m:]) <= most or m == 0)
        expect(kept == list(range(5 - fits, 5)), f"With {most} words the newest {fits} of 5 steps fit whole; yours shows steps {kept}.")
        left = 5 - len(kept)
        expect((f"({left} earlier steps left out)" in text) == (left > 0), f"{left} steps are missing, and the text should say so: "
                                                                          f"'({left} earlier steps left out)'. Yours: {text[:90]!r}.")
    expect_raises(ValueError, lambda: scratchpad("Fly home.", 5, words, instruction="Do it."), "A budget too small for the goal alone (6 "
                                                                                               "words) "
                                                                                              "should raise ValueError at once.")


def run_of(react: Any, lines: list[str], desk: Desk, **options: Any) -> tuple[Any, Scripted, Pad]:
    model, pad = Scripted(lines), Pad()
    run = react(model, desk.tools, pad, **options)
    expect(hasattr(run, "status") and hasattr(run, "steps"), f"react returns a Run; yours gave {run!r}.")
    return run, model, pad


@prop("8.4", "think, act, observe, finish")
def trace(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    desk = Desk()
    lines = [act("look", "First a look.", what="cat"), act("add", "Now add.", a=2, b=3), act("finish", "Done.", answer="5 cats")]
    run, model, pad = run_of(react, lines, desk)
    expect(desk.calls == ["look cat", "add 2 3"], f"The tools called should be look and add, once each; they were {desk.calls}.")
    expect((run.status, run.answer) == ("finished", "5 cats"), f"The run finishes with '5 cats'; yours: {run.status!r}, {run.answer!r}.")
    seen = [(s.thought, s.observation) for s in run.steps]
    expect(seen == [("First a "
                     "look.", "a cat here"), ("Now add.", "5"), ("Done.", "")], "Three steps with thought and observation (finish has "
                                                                                "an empty "
                                                                                       f"one); yours: {seen}.")
    expect(json.loads(run.steps[1].action) == {"tool": "add", "arguments": {"a": 2, "b": 3}}, "A step's action is the call as JSON; "
                                                                                              f"yours is {run.steps[1].action!r}.")
    expect(model.prompts == ["0 steps", "1 steps", "2 steps"], "Each turn the model reads the scratchpad anew, with all steps so far; "
                                                               f"it got {model.prompts}.")
    expect(pad.steps == run.steps, f"Every step goes to the scratchpad, the last one too: {len(pad.steps)} of {len(run.steps)} arrived.")


@prop("8.4", "trouble is an observation")
def trouble(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    desk = Desk({"look b": [TimeoutError("no answer")]})
    lines = ["I do not "
             "know.", act("fly", to="x"), act("look", which="a"), act("look", what="b"), act("look", what="c"), act("finish", answer="ok")]
    run, _, _ = run_of(react, lines, desk, checks={"look": lambda arguments, seen: "no c, please" if arguments["what"] == "c" else ""})
    expect(run.status == "finished", "A text without action, an unknown tool, wrong arguments, a timeout and a failed check should not "
                                     "end the run; "
                                     f"it ended with {run.status!r} after {len(run.steps)} steps.")
    seen = [s.observation for s in run.steps]
    expect(all(o.startswith("Error:") for o in seen[:5]), f"Each of these five observations begins with 'Error:'; yours: {seen}.")
    expect(run.steps[0].action == "" and run.steps[0].thought == "I do not "
                                                                 "know.", "Where no action can be read, the text is the thought and the "
                                                                          "action is ''; "
                                                                                  f"yours: {run.steps[0]!r}.")
    expect("no answer" in seen[3], f"The model should read what the tool raised; yours is {seen[3]!r}.")
    expect(seen[4] == "Error: no c, please", f"What a check objects to becomes the observation, after 'Error: '; yours is {seen[4]!r}.")


@prop("8.4", "going round in circles is noticed")
def circles(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    desk = Desk()
    run, _, _ = run_of(react, [act("look", what="a")], desk, max_steps=10)
    expect(desk.calls == ["look a"], "The same action came again and again; it gives nothing new and is not carried out a second time. "
                                     "Yours ran it "
                                     f"{len(desk.calls)} times.")
    expect((run.status, len(run.steps)) == ("loop", 3), "The first repetition is told to the model, the second ends the run as 'loop', "
                                                        "after 3 steps; "
                                                        f"yours: {run.status!r} after {len(run.steps)}.")
    expect(run.steps[1].observation.startswith("Error:"), "A repetition's observation begins with 'Error:'; yours is "
                                                          f"{run.steps[1].observation!r}.")
    desk = Desk()
    run, _, _ = run_of(react, [*(act("look", what=what) for what in "abab"), act("finish")], desk)
    expect(desk.calls == ["look a", "look b"] and run.status == "loop", "a, b, a, b is a circle too: compare with all actions of the "
                                                                        "run, not with the last. "
                                                                       f"Yours ran {desk.calls} and ended with {run.status!r}.")
    desk = Desk()
    run, _, _ = run_of(react, ['x\nAction: {"tool": "look", "arguments": {"what": "a", "near": '
                               '"b"}}', 'y\nAction: {"arguments": {"near": "b", "what": "a"}, "tool": "look"}',
                               act("finish", answer="z")], desk)
    expect(len(desk.calls) == 1 and run.status == "finished", "The same arguments in another order are the same action, whatever the "
                                                              f"thought; yours ran {desk.calls}. "
                                                             "One repetition alone does not end the run.")


@prop("8.4", "what failed may be tried again, not for ever")
def again(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    desk = Desk({"look a": [TimeoutError("slow"), TimeoutError("slow"), "there"]})
    run, _, _ = run_of(react, [act("look", what="a")] * 3 + [act("finish", answer="y")], desk)
    expect(len(desk.calls) == 3 and run.steps[2].observation == "there", "A tool failed twice and works the third time; after a failure "
                                                                         "the same action may be "
                                                                        "carried out again (max_attempts is 3). Yours called it "
                                                                        f"{len(desk.calls)} times.")
    desk = Desk({"look a": [TimeoutError("slow")]})
    run, _, _ = run_of(react, [act("look", what="a")], desk, max_steps=20, max_attempts=4)
    expect(len(desk.calls) == 4 and run.status == "loop" and len(run.steps) == 6, "A tool that always fails: 4 attempts (max_attempts), "
                                                                                  "a warning, the end as 'loop' "
                                                                                 f"after 6 steps; yours: {len(desk.calls)} attempts, "
                                                                                 f"{run.status!r} after {len(run.steps)}.")


@prop("8.4", "every run ends")
def ends(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    for most in (1, 4):
        desk = Desk()
        run, model, _ = run_of(react, [act("look", what=str(n)) for n in range(9)], desk, max_steps=most)
        expect((run.status, len(run.steps), len(model.prompts)) == ("out of steps", most, most), f"With max_steps={most} the model is "
                                                                                                 f"asked {most} times, and the status is "
                                                                                               "'out of steps'; yours: "
                                                                                               f"{len(model.prompts)} times, "
                                                                                               f"{run.status!r}.")
        expect(run.answer == "", f"A run that did not finish has the answer ''; yours is {run.answer!r}.")
    desk = Desk({"look a": [TimeoutError("slow"), "there"]})
    run, _, _ = run_of(react, [act("look", what="a"), act("look", what="a"), act("finish", answer="y")], desk, recover=False)
    expect((run.status, len(run.steps)) == ("failed", 1), "With recover=False the first error ends the run as 'failed'; yours: "
                                                          f"{run.status!r} after {len(run.steps)} steps.")


@prop("8.4", "memory finds by meaning")
def finds(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    encode, index = WordEncoder(), ExactIndex()
    mine = memory(encode, index)
    expect(mine.search("anything") == [], "An empty memory finds nothing: [] (an empty index refuses to search).")
    texts = ["The user wants a window seat.", "The user is allergic to nuts.", "The office is closed on Sunday."]
    ids = [mine.add(text) for text in texts]
    expect(ids == [0, 1, 2] and mine.texts == texts, f"Ids count up with the texts: [0, 1, 2]; yours: {ids}.")
    expect(mine.add(texts[1]) == 1 and index.ntotal == 3, "A text that is known already keeps its id, 1, and is not stored again; the "
                                                          f"index holds {index.ntotal} vectors.")
    found = mine.search("Which seat, a window seat?", k=2)
    expect(len(found) > 0 and found[0][0] == texts[0], f"The note about the window is nearest; yours found {found}.")
    expect(all(isinstance(f, tuple) and isinstance(f[0], str) and type(f[1]) is float for f in found), "search returns (text, score) "
                                                                                                       "with a plain float; yours: "
                                                                                                       f"{found!r}.")
    expect(mine.search("bananas") == [], f"Nothing near enough: []; yours found {mine.search('bananas')}.")
    expect(len(mine.search("the user "
                           "is", k=10, min_score=-1.0)) == 3, "Asked for 10 of 3 texts, 3 come; yours: "
                                                              f"{len(mine.search('the user is', k=10, min_score=-1.0))}.")
    expect_raises(ValueError, lambda: mine.add(" \n"), "An empty text should raise ValueError.")


@prop("8.4", "memory survives a restart")
def survives(parse_step: Any, scratchpad: Any, react: Any, memory: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.bin"
        mine = memory(WordEncoder(), ExactIndex())
        mine.add("The user wants a window seat.")
        mine.save(path)
        mine.add("The user is allergic to nuts.")
        with path.open("rb") as old:
            before = path.read_bytes()
            mine.save(path)
            expect(old.read() == before, "Saving wrote into the old file: a crash half way would leave neither the old memory nor the "
                                         "new. Write another file, then put "
                                         "it in the old one's place (`save_arrays` does).")
        left = sorted(p.name for p in Path(folder).iterdir())
        expect(left == ["memory.bin"], f"After saving only memory.bin should be there; found {left}.")
        encode, index = WordEncoder(), ExactIndex()
        again = memory.load(path, encode, index)
        expect(isinstance(again, memory), f"load returns a Memory; yours gave {type(again).__name__}. Is it a classmethod?")
        if encode.encoded:
            raise CheckFailed("Loading embedded the texts anew; the vectors should come from the file.")
        expect(again.texts == mine.texts and index.ntotal == 2, f"Two texts were saved; {len(again.texts)} came back, and {index.ntotal} "
                                                                "vectors in the index.")
        found = again.search("allergic to nuts?", k=1)
        expect(bool(found) and "nuts" in found[0][0], f"After the restart the note about nuts is found; yours: {found}.")
        expect(again.add("Third.") == 2 and again.add("The user is allergic to "
                                                      "nuts.") == 1, "After the restart ids go on, and known texts are known.")
