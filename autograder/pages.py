"""`make pages`: the learners' notebooks with their figures as static HTML, to look at before installing: no server, no network."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import latex2mathml.converter
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from plotly.offline import get_plotlyjs

from aieng.lesson import course
from autograder import notebooks, running

FOLDER = notebooks.ROOT / "build" / "pages"
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


class _MathML(IPythonRenderer):
    """Formulas as MathML, which browsers draw by themselves."""

    def block_math(self, body: str) -> str:
        return str(latex2mathml.converter.convert(body.strip(), display="block"))

    def inline_math(self, body: str) -> str:
        return str(latex2mathml.converter.convert(body.strip()))


def markdown(source: str) -> str:
    """Markdown with formulas to HTML."""
    return str(MarkdownWithMath(renderer=_MathML(escape=False)).render(source))


def write(slugs: Sequence[str], folder: Path = FOLDER) -> list[Path]:
    """Run the released notebooks unsolved and write a page of each, beside an index and one copy of plotly.js."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    written = []
    for slug in slugs:
        with tempfile.TemporaryDirectory() as progress:
            done = running.run(notebooks.NOTEBOOKS / slug / f"{slug}.ipynb", progress_dir=Path(progress), widgets=False)
        path = folder / f"{slug}.html"
        path.write_text(page(done.book, f"{course.section(slug).number} {course.section(slug).title}"), encoding="utf-8")
        written.append(path)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr, flush=True)
    index = folder / "index.html"
    links = "".join(f'<li><a href="{p.name}">{escape(course.section(p.stem).title)}</a>: {escape(course.section(p.stem).summary)}</li>'
                    for p in written)
    index.write_text(f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>AI engineering, hands on</title>'
                     f"<body style='font-family:sans-serif;max-width:50em;margin:2em auto'><h1>AI engineering, hands on</h1>"
                     f"<p>The learners' notebooks as they look before anything is solved, to read.</p><ol>{links}</ol></body></html>",
                     encoding="utf-8")
    return [index, *written]


def page(book: NotebookNode, title: str) -> str:
    """A notebook with its outputs as one HTML page that asks nothing of the network."""
    count = 0
    for cell in book.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(WIDGET, None)
            if PLOTLY in data:
                count += 1
                data["text/html"] = _figure(data.pop(PLOTLY), f"figure-{count}")
    book.metadata.pop("widgets", None)
    exporter = HTMLExporter(template_name="lab")
    exporter.register_filter("markdown2html", markdown)
    body, _ = exporter.from_notebook_node(book, {"metadata": {"name": title}})
    body = re.sub(r"<script\b[^>]*\bsrc=[\"']https?://[^>]*>\s*</script>", "", body)
    # What nbconvert's template brings for MathJax and Mermaid would look for them on the network.
    body = re.sub(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", "", body, flags=re.S)
    body = re.sub(r'<script type="module">.*?</script>', "", body, flags=re.S)
    return body.replace("</head>", '<script src="plotly.min.js"></script></head>', 1)


def _figure(figure: dict[str, Any], name: str) -> str:
    spec = json.dumps({"data": figure["data"], "layout": figure["layout"]}).replace("</", "<\\/")
    return (f'<div id="{name}" style="min-height:360px"></div><script>(() => {{ const f = {spec}; '
            f'Plotly.newPlot("{name}", f.data, f.layout, {{responsive: true, displaylogo: false}}); }})()</script>')
