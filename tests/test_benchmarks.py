"""The benchmark harness; the timings themselves are never asserted."""

import json
import time

import pytest

from benchmarks import harness, record


def test_compare_alternates_and_gives_a_ratio():
    calls = []

    def slow():
        calls.append("theirs")
        time.sleep(0.02)

    def quick():
        calls.append("ours")
        time.sleep(0.002)

    row = harness.compare("sleep", "sleep", quick, slow, work=10, unit="naps/s", target=2.0, repeats=4)
    assert calls == ["ours", "theirs"] + 2 * ["theirs", "ours", "ours", "theirs"]
    assert row.ratio == pytest.approx(row.ours / row.theirs) and row.ratio > 1


def test_sizes_count_the_other_way():
    assert harness.less_is_better("bytes", "peer", 50, 100, "bytes").ratio == 2
    assert harness.more_is_better("recall", "peer", 0.9, 0.6, "share").ratio == pytest.approx(1.5)


def test_reports():
    rows = [harness.Row("a", "p", 1234.5, 2.0, "q/s", 617.25, 1.0), harness.Row("b", "p", 1.0, 2.0, "q/s", 0.5, 0.8)]
    parsed = json.loads(harness.as_json(rows))
    assert list(parsed[0]) == ["what", "peer", "ours", "theirs", "unit", "ratio", "target"]
    table = harness.as_table(rows).splitlines()
    assert "1,234" in table[1] and "0.80!" in table[2]


def test_a_child_that_fails_is_reported(tmp_path, monkeypatch):
    (tmp_path / "broken_bench.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="status 3"):
        harness.with_threads("broken_bench", 1)
    (tmp_path / "fine_bench.py").write_text(
        "import json, os, sys\nrow = dict(what=sys.argv[-1], peer='p', ours=1, theirs=1, unit='u', ratio=1, target=None)\n"
        "row['what'] += os.environ['OMP_NUM_THREADS']\nprint(json.dumps([row]))")
    assert harness.with_threads("fine_bench", 2)[0].what == "22"


def test_rows_are_kept_by_group_and_quoted_in_the_readme(tmp_path):
    path, readme, grader = tmp_path / "rows.json", tmp_path / "README.md", tmp_path / "GRADER.md"
    for document in (readme, grader):
        document.write_text(f"before\n{record.BEGIN}\nold\n{record.END}\nafter")
    first, second = (harness.Row(name, "peer", 3.0, 2.0, "q/s", 1.5, target) for name, target in (("a", 1.0), ("b", 2.0)))
    record.keep("vectors", [first], replace=True, path=path)
    record.keep("vectors", [second, harness.Row("c", "peer", 1, 1, "x", 1.0, None)], replace=False, path=path)
    record.keep("grading", [harness.Row("hostile, escape: withstood", "nbgrader", 7, 2, "submissions", 3.5, None)], replace=True, path=path)
    record.quote(path, readme, grader)
    assert "| escape | 7 | 7 | 2 |" in grader.read_text() and "old" not in grader.read_text()
    text = readme.read_text()
    assert text.startswith("before") and text.endswith("after") and "old" not in text
    assert "| a | peer | 3 | 2 | q/s | **1.50** | 1.00 |" in text and "2.00 (missed)" in text and "| c |" not in text
    record.keep("vectors", [first], replace=True, path=path)
    assert len(json.loads(path.read_text())["vectors"]["rows"]) == 1


def test_the_readme_quotes_the_rows_on_file():
    stored = json.loads(record.PATH.read_text(encoding="utf-8"))
    assert record.section(stored) in record.README.read_text(encoding="utf-8"), "run make bench ARGS=--record"
    assert record.hostile(stored) in record.GRADER.read_text(encoding="utf-8"), "run python -m benchmarks.grading --record"
