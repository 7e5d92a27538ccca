"""`start`: the card at the top of each notebook, with the section's plan and the progress over the course."""

from __future__ import annotations

from html import escape

from IPython.display import display

from aieng.lesson import course, progress
from aieng.lesson.environment import grading
from aieng.lesson.html import Card


def start(key: str) -> None:
    """Show the section's title, minutes, points and prerequisites, its exercises, and one progress bar over the course."""
    about = course.section(key)
    done = set() if grading() else progress.passed_exercises()
    everything = [e for s in course.SECTIONS for e in s.exercises]
    passed = [e for e in everything if e.id in done]
    share = 100 * sum(e.points for e in passed) / max(1, sum(e.points for e in everything))
    text = f"{len(passed)} of {len(everything)} exercises passed so far"
    rows = "".join(
        f"<tr><td>{'✓' if e.id in done else '○'}</td><td>{e.id} {escape(e.title)}</td><td>{e.dots}</td>"
        f"<td>{e.minutes} min</td><td>{e.points} points</td></tr>" for e in about.exercises
    )
    body = (f"<div>{escape(about.summary[:1].upper() + about.summary[1:])}. About {about.minutes} minutes, {about.points} points. "
            f"You need: {escape(about.prerequisites)}.</div>"
            f'<table aria-label="Exercises of this section"><tbody>{rows}</tbody></table>'
            f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share:.0f}" '
            f'aria-label="Progress over the course: {escape(text)}"><span style="width:{share:.1f}%"></span></div>'
            f"<div>{escape(text)}</div>")
    card = Card(f"{about.number} {about.title}", "open", body_html=body)
    headline = f"{about.number} {about.title}: {about.minutes} minutes, {about.points} points. You need: {about.prerequisites}."
    plain = "\n".join([headline,
                       *(f"  {'✓' if e.id in done else '○'} {e.id} {e.title} {e.dots} {e.minutes} min, {e.points} points"
                         for e in about.exercises), text])
    display({"text/html": card.html(), "text/plain": plain}, raw=True)


