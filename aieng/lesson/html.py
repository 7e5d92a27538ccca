"""HTML for cards: escaped, readable in light and dark theme, with a plain text twin for places that render no HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

# JupyterLab's own colour variables, so that a card follows the theme; the second value serves pages without them.
STYLE = """<style>
.aieng{border:1px solid var(--jp-border-color1,#999);border-left-width:6px;border-radius:4px;padding:.6em 1em;margin:.3em 0;
 color:var(--jp-ui-font-color1,#222);background:var(--jp-layout-color1,#fff);font-family:var(--jp-ui-font-family,sans-serif);
 font-size:14px;line-height:1.5;max-width:60em}
.aieng h4{margin:0 0 .3em;font-size:15px}.aieng ul{list-style:none;margin:0;padding:0}
.aieng li{margin:.25em 0;padding-left:1.6em;text-indent:-1.6em}.aieng li>*{text-indent:0}
.aieng .mark{display:inline-block;width:1.6em;font-weight:bold;text-indent:0}
.aieng .why{display:block;white-space:pre-wrap}.aieng code{background:var(--jp-layout-color2,#eee);padding:0 .25em}
.aieng.good{border-left-color:#009E73}.aieng.bad{border-left-color:#D55E00}.aieng.open{border-left-color:#0072B2}
.aieng .bar{height:.7em;background:var(--jp-layout-color3,#ccc);border-radius:4px;overflow:hidden;max-width:30em}
.aieng .bar>span{display:block;height:100%;background:#0072B2}
.aieng table{border-collapse:collapse}.aieng td,.aieng th{padding:.15em .8em .15em 0;text-align:left!important;vertical-align:top}
</style>"""


def code_spans(text: str) -> str:
    """Escape `text` for HTML and turn `backquoted` parts into <code>."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:  # an odd quote: leave it as it stands
        return escape(text)
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


@dataclass(frozen=True)
class Line:
    """One line of a card: a mark (✓, ✗, –), a heading and an explanation."""

    mark: str
    text: str
    why: str = ""


@dataclass(frozen=True)
class Card:
    """A titled box of lines. `kind` is "good", "bad" or "open" and colours the edge; the marks say the same in words."""

    title: str
    kind: str
    lines: tuple[Line, ...] = ()
    note: str = ""
    body_html: str = field(default="", repr=False)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.plain()}

    def html(self) -> str:
        items = "".join(
            f'<li><span class="mark">{escape(line.mark)}</span>{code_spans(line.text)}'
            + (f'<span class="why">{code_spans(line.why)}</span>' if line.why else "")
            + "</li>"
            for line in self.lines
        )
        note = f"<div>{code_spans(self.note)}</div>" if self.note else ""
        listing = f"<ul>{items}</ul>" if items else ""
        return (f'{STYLE}<div class="aieng {self.kind}" role="group" aria-label="{escape(self.title)}">'
                f"<h4>{code_spans(self.title)}</h4>{self.body_html}{listing}{note}</div>")

    def plain(self) -> str:
        lines = [self.title]
        for line in self.lines:
            lines.append(f"  {line.mark} {line.text}")
            lines += [f"      {part}" for part in line.why.splitlines()]
        if self.note:
            lines.append(self.note)
        return "\n".join(lines)
