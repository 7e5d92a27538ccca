"""The explorers of section 05: the controls change the picture and its words; under a grader there is a still figure."""

import torch

from aieng.figures.theme import CourseFigure
from aieng.lesson.experiments.stored_measurements import nf4_beside_bitsandbytes, qlora_in_time, size_against_perplexity
from aieng.lesson.widgets.explorer import Explorer
from aieng.lesson.widgets.tradeoffs import levels_explorer, mask_painter
from aieng.quantization.integer import quantize_groups
from aieng.transformer.sparse_attention import sparse_mask

WEIGHT = torch.randn(70, 384, generator=torch.Generator().manual_seed(0))


def control(explorer, name):
    row = explorer.children[1]
    return next(c for c in row.children if c.description.startswith(name))


def test_levels_follow_the_controls():
    explorer = levels_explorer(quantize_groups, WEIGHT)
    assert isinstance(explorer, Explorer) and "16 vertical lines" in explorer.text
    control(explorer, "bits").value = 2
    assert "4 vertical lines" in explorer.text
    control(explorer, "group size").value = 128
    assert "128 weights" in explorer.text


def test_painter_follows_the_controls():
    explorer = mask_painter(sparse_mask, tokens=16)
    before = explorer.text
    control(explorer, "global").value = 1
    assert explorer.text != before and "16 queries" in explorer.text
    control(explorer, "causal").value = False
    assert "16 tokens in 2 layers" in explorer.text


def test_still_without_widgets(monkeypatch):
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    assert isinstance(mask_painter(sparse_mask), CourseFigure) and isinstance(levels_explorer(quantize_groups, WEIGHT), CourseFigure)


def test_stored_measurement_says_what_the_course_says():
    table = size_against_perplexity().data
    base = table["float32"]["perplexity"]
    assert table["INT8 per channel"]["perplexity"] < 1.01 * base and table["INT8 per channel"]["bytes"] * 3.5 < table["float32"]["bytes"]
    for bits in (4, 3):
        assert table[f"GPTQ {bits} bits, group 64"]["perplexity"] < table[f"RTN {bits} bits, group 64"]["perplexity"]
    assert table["NF4, block 64"]["perplexity"] < table["INT4 absmax, block 64"]["perplexity"]


def test_stored_fine_tuning_tells_where_four_bits_cost():
    found = qlora_in_time()
    data = found.data
    assert data["steps"][0] == 0 and data["last"] == data["steps"][-1] >= 100
    for name in ("lora", "tail", "qlora"):
        assert data[name] == sorted(data[name], reverse=True)
    assert -0.05 < data["tail_interval"][0] < data["tail_interval"][1] < 0.05, "NF4 in the trained blocks costs less than 5 %"
    assert data["gap"] > data["tail_gap"] and data["qlora"][0] > data["lora"][0], "the blocks before are where four bits cost"
    assert f"{data['gap']:+.1%}" in found.sentence and f"{data['tail_gap']:+.1%}" in found.sentence


def test_our_nf4_is_bitsandbytes():
    for row in nf4_beside_bitsandbytes().data.values():
        assert row["different"] <= 1e-5 * row["of"] and abs(row["ours"] / row["theirs"] - 1) < 1e-4
