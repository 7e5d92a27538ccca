"""What cells print and display, as nbformat outputs and within limits."""

from __future__ import annotations

import io
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

MAX_OUTPUTS = 200


class Recorder:
    """The outputs of one cell; what goes beyond `limit` characters is left out, and said so."""

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.outputs: list[dict[str, Any]] = []
        self.full = False

    def stream(self, name: str, text: str) -> None:
        if self.full:
            return
        if len(text) > self.left:
            text, self.full = text[: self.left] + "\n… output cut here: too much of it\n", True
        self.left -= len(text)
        if self.outputs and self.outputs[-1]["output_type"] == "stream" and self.outputs[-1]["name"] == name:
            self.outputs[-1]["text"] += text
        else:
            self.outputs.append({"output_type": "stream", "name": name, "text": text})

    def rich(self, kind: str, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        data = {mime: value for mime, value in data.items() if mime == "text/plain" or not mime.startswith("application/vnd.plotly")}
        size = sum(len(str(v)) for v in data.values())
        if self.full or size > self.left or len(self.outputs) >= MAX_OUTPUTS:
            self.stream("stdout", "\n… an output was left out: too much of it\n")
            return
        self.left -= size
        output: dict[str, Any] = {"output_type": kind, "data": data, "metadata": metadata or {}}
        if kind == "execute_result":
            output["execution_count"] = None
        self.outputs.append(output)


class Stream(io.TextIOBase):
    """Stands in for sys.stdout and sys.stderr."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._name, self._recorder = name, recorder

    def write(self, text: str) -> int:
        self._recorder.stream(self._name, str(text))
        return len(text)

    def writable(self) -> bool:
        return True


class _Publisher(DisplayPublisher):
    recorder: Recorder | None = None

    def publish(self, data: dict[str, Any], metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if self.recorder is not None:
            self.recorder.rich("display_data", data, metadata or {})

    def clear_output(self, wait: bool = False) -> None:
        if self.recorder is not None:
            self.recorder.outputs.clear()


class _Hook(DisplayHook):
    recorder: Recorder | None = None

    def start_displayhook(self) -> None:
        pass  # nothing is written before a result

    def write_output_prompt(self) -> None:
        pass  # notebooks show the number beside the cell

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        if self.recorder is not None:
            self.recorder.rich("execute_result", format_dict, md_dict or {})

    def finish_displayhook(self) -> None:
        pass  # nothing is written after it either


def make_shell() -> Any:
    """An IPython shell without history whose displays go to a recorder."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config, colors="nocolor", display_pub_class=_Publisher, displayhook_class=_Hook)
    shell.InteractiveTB.set_mode(mode="Plain")
    return shell


def attach(shell: Any, recorder: Recorder | None) -> None:
    shell.display_pub.recorder = shell.displayhook.recorder = recorder


def begin_cell(shell: Any, name: str) -> list[list[str]]:
    """Give the next cell its file name; returns the list that its tracebacks are put into."""
    shown: list[list[str]] = []
    shell.compile.get_code_name = lambda raw, transformed, number: name
    shell._showtraceback = lambda etype, evalue, stb: shown.append([str(line) for line in stb])
    return shown
