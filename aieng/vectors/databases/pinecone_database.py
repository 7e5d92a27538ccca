"""Pinecone, a managed service, through its official client. Runs only where you have a key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from aieng.vectors.databases.base import (
    BaseDatabase,
    Collection,
    DatabaseError,
    Hit,
    IndexConfig,
    batches,
    require,
    with_ints,
    without_ints,
)
from aieng.vectors.databases.filters import Condition, Scalar, to_pinecone

_METRIC = {"l2": "euclidean", "ip": "dotproduct", "cosine": "cosine"}
# A request may hold 2 MB and 1,000 records. A float32 takes up to 13 characters as JSON; the rest is for metadata.
_REQUEST_BYTES, _REQUEST_RECORDS = 1_500_000, 1_000
_BYTES_PER_NUMBER = 13


class PineconeDatabase(BaseDatabase):
    """A Pinecone index. The service picks and tunes its own index structure: ask for "auto".

    Writes are seen by searches after a moment, not at once: `count` right after `upsert` may be behind.

    Parameters
    ----------
    api_key : default: the environment variable PINECONE_API_KEY
    host : the control plane, for a proxy or a local simulator; default: Pinecone's own
    cloud, region : where a new index is made
    timeout : seconds for one attempt of one request, and for a new index to become ready six times as many

    Raises
    ------
    ValueError : no key
    """

    engine = "Pinecone"
    kinds = ("auto",)

    def __init__(self, api_key: str = "", host: str | None = None, cloud: str = "aws", region: str = "us-east-1",
                 timeout: float = 10.0) -> None:
        super().__init__()
        api_key = api_key or os.environ.get("PINECONE_API_KEY", "")
        if not api_key:
            raise ValueError("Pinecone needs an API key; pass api_key, or set the environment variable PINECONE_API_KEY")
        pinecone = require("pinecone", "pinecone")
        self.client_errors = (pinecone.PineconeException,)
        self._deployment = {"deployment_type": "managed", "cloud": cloud, "region": region}
        self._timeout = timeout
        self.client = pinecone.Pinecone(api_key=api_key, host=host, timeout=timeout)
        self._rows: Any = None

    def close(self) -> None:
        super().close()
        if self._rows is not None:
            self._rows.close()
            self._rows = None
        if self.client is not None:
            self.client.close()
            self.client = None

    @staticmethod
    def _there(name: str) -> str:
        return name.replace("_", "-")  # Pinecone's names have hyphens, no underscores

    def _describe(self, name: str) -> Collection | None:
        if not self.client.indexes.exists(self._there(name)):
            return None
        about = self.client.indexes.describe(self._there(name))
        metric = {v: k for k, v in _METRIC.items()}[about.metric]
        return Collection(name, int(about.dimension), metric, IndexConfig(kind="auto"))

    def _create(self, collection: Collection) -> None:
        self.client.indexes.create(name=self._there(collection.name), dimension=collection.dim,
                                   metric=_METRIC[collection.metric], deployment=self._deployment,
                                   timeout=max(1, round(6 * self._timeout)))

    def _open(self, collection: Collection) -> None:
        if self._rows is not None:
            self._rows.close()
        self._rows = self.client.index(host=self.client.indexes.describe(self._there(collection.name)).host)

    def _drop(self, name: str) -> None:
        self.client.indexes.delete(self._there(name), timeout=max(1, round(6 * self._timeout)))

    def _upsert(self, ids: list[int], vectors: np.ndarray, payloads: list[dict[str, Scalar]]) -> None:
        size = max(1, min(_REQUEST_RECORDS, _REQUEST_BYTES // (vectors.shape[1] * _BYTES_PER_NUMBER + 1_000)))
        for part in batches(len(ids), size):
            rows = [{"id": str(i), "values": v.tolist(), "metadata": without_ints(p)}
                    for i, v, p in zip(ids[part], vectors[part], payloads[part])]
            written = self._rows.upsert(vectors=rows, timeout=self._timeout).upserted_count
            if written != len(rows):
                raise DatabaseError(f"Pinecone wrote {written} of {len(rows)} rows; repeat the upsert, it replaces by id")

    def _search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition]) -> list[Hit]:
        found = self._rows.query(top_k=k, vector=vector.tolist(), filter=to_pinecone(conditions), include_metadata=True,
                                 timeout=self._timeout)
        return [Hit(int(match.id), float(match.score), with_ints(match.metadata)) for match in found.matches]

    def _delete(self, ids: list[int]) -> None:
        for part in batches(len(ids), _REQUEST_RECORDS):
            self._rows.delete(ids=[str(i) for i in ids[part]], timeout=self._timeout)

    def _count(self) -> int:
        return int(self._rows.describe_index_stats(timeout=self._timeout).total_vector_count)
