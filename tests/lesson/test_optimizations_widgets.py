"""The interactive pictures of section 04: each control changes the picture and the words, and works without a mouse."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import pytest
import torch

from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.widgets.explorer import Explorer
from aieng.lesson.widgets.optimizations import block_explorer, expert_explorer, tile_player
from aieng.transformer.experts import load_balancing_loss, top_k_router
from aieng.transformer.flash_attention import online_softmax
from aieng.transformer.paged_cache import BlockAllocator, BlockTable


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


EXPLORERS = {
    "blocks": lambda: block_explorer(BlockAllocator, BlockTable),
    "tiles": lambda: tile_player(online_softmax, numbers(10, 4), numbers(10, 4, seed=1), numbers(10, 4, seed=2)),
    "experts": lambda: expert_explorer(top_k_router, load_balancing_loss, {"a": numbers(5, 4), "b": numbers(5, 4, seed=3)}, numbers(6, 4),
                                       [f"token {i}" for i in range(6)]),
}


def controls(explorer: Explorer) -> list[Any]:
    found, stack = [], list(explorer.children)
    while stack:
        widget = stack.pop(0)
        if isinstance(widget, widgets.Button | widgets.IntSlider | widgets.Play | widgets.ToggleButtons | widgets.Dropdown):
            found.append(widget)
        stack += getattr(widget, "children", ())
    return found


def control(explorer: Explorer, start: str) -> Any:
    return next(c for c in controls(explorer) if getattr(c, "description", "").startswith(start))


@pytest.mark.parametrize("name", EXPLORERS)
def test_has_words_names_and_a_still_version(name, monkeypatch):
    explorer = EXPLORERS[name]()
    assert isinstance(explorer, Explorer) and len(explorer.text) > 40
    assert explorer._repr_mimebundle_()["text/plain"].startswith("[Interactive figure] ")
    for widget in controls(explorer):
        assert widget.tooltip and (isinstance(widget, widgets.Play) or widget.description)
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    still = EXPLORERS[name]()
    assert type(still) is CourseFigure and alt_text(still)


def test_blocks_are_started_shared_forked_copied_and_freed():
    explorer = block_explorer(BlockAllocator, BlockTable)
    control(explorer, "Start").click()
    assert "Table B starts with 6 tokens, 4 of them in blocks that it shares" in explorer.text
    control(explorer, "table").value = "B"
    control(explorer, "Fork").click()
    assert "Table C is a fork of B" in explorer.text and "9 free" in explorer.text
    control(explorer, "Append").click()
    assert "was shared, so its content is copied" in explorer.text
    before = explorer.figures[0].to_json()
    control(explorer, "Free").click()
    assert "Table B is freed" in explorer.text and explorer.figures[0].to_json() != before
    assert list(control(explorer, "table").options) == ["A", "C"]


def test_a_full_pool_and_an_empty_one_are_said():
    explorer = block_explorer(BlockAllocator, BlockTable, num_blocks=3)
    control(explorer, "Start").click()
    assert "Table B" in explorer.text
    control(explorer, "Start").click()
    assert "No block is free" in explorer.text
    for _ in range(2):
        control(explorer, "Free").click()
    control(explorer, "Append").click()
    assert "There is no table" in explorer.text and "3 free" in explorer.text


def test_tiles_step_and_stay_in_range():
    explorer = EXPLORERS["tiles"]()
    first = explorer.text
    control(explorer, "Step on").click()
    assert explorer.text != first and "Tile 2 of" in explorer.text
    for _ in range(3):
        control(explorer, "Step back").click()
    assert explorer.text == first
    control(explorer, "tile").value = control(explorer, "tile").max
    assert "10 of 10 rows have begun" in explorer.text


def test_an_error_of_the_learners_code_is_shown():
    def broken(*_: Any) -> Any:
        raise RuntimeError("my mistake")

    explorer = EXPLORERS["experts"]()
    control(explorer, "top_k").value = 3
    assert "6 tokens flow to their 3 of 5" in explorer.text
    control(explorer, "router").value = "b"
    assert "flow" in explorer.text
    with pytest.raises(RuntimeError, match="my mistake"):
        expert_explorer(broken, load_balancing_loss, {"a": numbers(5, 4)}, numbers(6, 4), ["t"] * 6)
    with pytest.raises(ValueError, match="no router"):
        expert_explorer(top_k_router, load_balancing_loss, {}, numbers(6, 4), ["t"] * 6)
