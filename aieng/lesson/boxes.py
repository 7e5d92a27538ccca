"""A box of widgets with a plain text twin, for places that draw no widget: a terminal, GitHub, nbconvert."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets


class WordedBox(widgets.VBox):
    """Widgets below each other; where none is drawn, `plain` stands for them."""

    def plain(self) -> str:
        """The box in words."""
        raise NotImplementedError(f"{type(self).__name__} needs a method plain that says in words what it shows")

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        if isinstance(bundle, tuple):
            bundle = bundle[0]
        return bundle | {"text/plain": self.plain()}
