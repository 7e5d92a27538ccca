"""Chroma: inside this process with its data in a folder, or a server of its own, by the address alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np

from aieng.vectors.databases.base import (
    BaseDatabase,
    Collection,
    Hit,
    IndexConfig,
    batches,
    require,
    with_ints,
    without_ints,
)
from aieng.vectors.databases.filters import Condition, Scalar, to_chroma

_SPACE = {"l2": "l2", "ip": "ip", "cosine": "cosine"}


class ChromaDatabase(BaseDatabase):
    """A Chroma collection. Chroma builds HNSW, whatever its size; there is no other index to ask for.

    Parameters
    ----------
    path : a folder, or "http://host:8000" for a server (started with ``chroma run --path FOLDER``)
    timeout : seconds to wait for a server's first answer

    Raises
    ------
    ConnectionError : the server does not answer in time
    """

    engine = "Chroma"
    kinds = ("hnsw", "auto")

    def __init__(self, path: str | Path, timeout: float = 10.0) -> None:
        super().__init__()
        chromadb = require("chromadb", "chromadb")
        httpx = require("httpx", "httpx")
        self.client_errors = (chromadb.errors.ChromaError, httpx.HTTPError)
        settings = chromadb.config.Settings(anonymized_telemetry=False)
        address = str(path)
        if "://" in address:
            # Chroma's client waits for ever; ask once with a limit before it is made.
            try:
                urlopen(f"{address.rstrip('/')}/api/v2/heartbeat", timeout=timeout).close()
            except (URLError, OSError, ValueError) as error:
                raise ConnectionError(f"no Chroma server answers at {address}: start one with `chroma run --path FOLDER`, "
                                      f"or give a folder to run Chroma in this process") from error
            url = urlparse(address)
            port = url.port or (443 if url.scheme == "https" else 80)
            self.client = chromadb.HttpClient(url.hostname, port, ssl=url.scheme == "https", settings=settings)
        else:
            self.client = chromadb.PersistentClient(address, settings=settings)
        self._batch = int(self.client.get_max_batch_size())
        self._rows: Any = None

    def close(self) -> None:
        super().close()
        if self.client is not None:
            self._rows = None
            self.client.close()
            self.client = None

    def _describe(self, name: str) -> Collection | None:
        if name not in {c.name for c in self.client.list_collections()}:
            return None
        about = self.client.get_collection(name, embedding_function=None)
        dim = (about.metadata or {}).get("dim")
        if dim is None:
            raise ValueError(f"Chroma has a collection {name!r} that this class did not make; choose another name")
        metric = {v: k for k, v in _SPACE.items()}[about.configuration_json["hnsw"]["space"]]
        return Collection(name, int(dim), metric, IndexConfig(kind="hnsw"))

    def _create(self, collection: Collection) -> None:
        index = collection.index
        hnsw = {"space": _SPACE[collection.metric], "max_neighbors": index.M, "ef_construction": index.ef_construction,
                "ef_search": index.ef_search}
        # embedding_function=None: the vectors are ours. Chroma's default would fetch a model from the network.
        self.client.create_collection(collection.name, embedding_function=None, configuration={"hnsw": hnsw},
                                      metadata={"dim": collection.dim})

    def _open(self, collection: Collection) -> None:
        self._rows = self.client.get_collection(collection.name, embedding_function=None)

    def _drop(self, name: str) -> None:
        self.client.delete_collection(name)

    def _upsert(self, ids: list[int], vectors: np.ndarray, payloads: list[dict[str, Scalar]]) -> None:
        for part in batches(len(ids), self._batch):
            keys = [str(i) for i in ids[part]]
            there = self._rows.get(ids=keys, include=["metadatas"])
            old = dict(zip(there["ids"], there["metadatas"]))
            # Chroma merges new metadata into old; None takes a key out, so the row becomes what was given and no more.
            metadatas = [(dict.fromkeys(old.get(key) or {}) | without_ints(p)) or None for key, p in zip(keys, payloads[part])]
            self._rows.upsert(ids=keys, embeddings=vectors[part], metadatas=metadatas)

    def _search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition]) -> list[Hit]:
        found = self._rows.query(query_embeddings=vector[None], n_results=k, where=to_chroma(conditions),
                                 include=["metadatas", "distances"])
        # Chroma always returns distances: 1 - similarity for "ip" and "cosine".
        flip = self.higher_is_better
        return [Hit(int(key), 1.0 - float(d) if flip else float(d), with_ints(payload))
                for key, d, payload in zip(found["ids"][0], found["distances"][0], found["metadatas"][0])]

    def _delete(self, ids: list[int]) -> None:
        for part in batches(len(ids), self._batch):
            self._rows.delete(ids=[str(i) for i in ids[part]])

    def _count(self) -> int:
        return int(self._rows.count())


