"""Milvus through pymilvus' MilvusClient: the same lines drive a local file, a server or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aieng.vectors.databases.base import BaseDatabase, Collection, Hit, IndexConfig, batches, require
from aieng.vectors.databases.filters import Condition, Scalar, to_milvus

_METRIC = {"l2": "L2", "ip": "IP", "cosine": "COSINE"}
_KIND = {"flat": "FLAT", "ivf_flat": "IVF_FLAT", "hnsw": "HNSW", "auto": "AUTOINDEX"}
# A gRPC message to Milvus may hold 64 MiB; a quarter leaves room for the payloads.
_BATCH_BYTES = 16 * 2**20


class MilvusDatabase(BaseDatabase):
    """A Milvus collection: id (int64, key), vector, payload (JSON).

    Parameters
    ----------
    uri : a path that ends in .db runs Milvus Lite inside this process and keeps the data in that folder;
        "http://host:19530" is a server or a cluster. Nothing else changes.
    token : "user:password" or an API key, where the server asks for one
    timeout : seconds that any request may take

    Raises
    ------
    ValueError : a path that does not end in .db
    ConnectionError : the server does not answer in time, or another process has the local data open
    """

    engine = "Milvus"

    def __init__(self, uri: str | Path = "./milvus.db", token: str = "", timeout: float = 10.0) -> None:
        super().__init__()
        pymilvus = require("pymilvus", "pymilvus milvus-lite")
        self._pymilvus, self._timeout = pymilvus, timeout
        self.client_errors = (pymilvus.MilvusException,)
        self.uri = str(uri)
        self.embedded = "://" not in self.uri
        if self.embedded:
            if not self.uri.endswith(".db"):
                raise ValueError(f"uri {self.uri!r}; give a path that ends in .db (Milvus Lite) or http://host:19530 (a server)")
            require("milvus_lite", "milvus-lite")
            Path(self.uri).parent.mkdir(parents=True, exist_ok=True)
        try:
            self.client = pymilvus.MilvusClient(self.uri, token=token, timeout=timeout)
        except pymilvus.MilvusException as error:
            why = ("another process has it open, or it is no Milvus Lite folder; run a Milvus server to share data"
                   if self.embedded else "is it running, and are the address and the token right?")
            raise ConnectionError(f"cannot open Milvus at {self.uri}: {why}") from error

    def flush(self) -> None:
        """Seal what was written, so that it is indexed. Milvus does so by itself in time; a measurement should not wait."""
        with self._translated("flush"):
            self.client.flush(self._collection().name, timeout=self._timeout)
            self._open(self._collection())

    def close(self) -> None:
        super().close()
        if self.client is None:
            return
        self.client.close()
        self.client = None
        if self.embedded:
            # pymilvus leaves the embedded engine running, and with it the lock on the folder.
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self.uri)

    def _describe(self, name: str) -> Collection | None:
        if not self.client.has_collection(name, timeout=self._timeout):
            return None
        about = self.client.describe_collection(name, timeout=self._timeout)
        dims = [f["params"]["dim"] for f in about["fields"] if f["name"] == "vector"]
        index = self.client.describe_index(name, "vector", timeout=self._timeout) if dims else None
        if not index:
            raise ValueError(f"Milvus has a collection {name!r} that this class did not make; choose another name")
        metric = {v: k for k, v in _METRIC.items()}[index["metric_type"]]
        kind = {v: k for k, v in _KIND.items()}[index["index_type"]]
        return Collection(name, int(dims[0]), metric, IndexConfig(kind=kind))

    def _create(self, collection: Collection) -> None:
        types = self._pymilvus.DataType
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", types.INT64, is_primary=True)
        schema.add_field("vector", types.FLOAT_VECTOR, dim=collection.dim)
        schema.add_field("payload", types.JSON)
        index = self.client.prepare_index_params()
        # Nested once more on purpose: Milvus Lite 3.2 reads build parameters from "params" alone and would fall back to
        # its defaults; a server takes both forms.
        index.add_index("vector", index_type=_KIND[collection.index.kind], metric_type=_METRIC[collection.metric],
                        params={"params": self._build_parameters(collection.index)})
        # "Strong": a search sees every write before it. Milvus' default may lag behind by some seconds.
        self.client.create_collection(collection.name, schema=schema, index_params=index, consistency_level="Strong",
                                      timeout=self._timeout)

    def _open(self, collection: Collection) -> None:
        self.client.load_collection(collection.name, timeout=self._timeout)

    @staticmethod
    def _build_parameters(index: IndexConfig) -> dict[str, int]:
        return {"ivf_flat": {"nlist": index.nlist},
                "hnsw": {"M": index.M, "efConstruction": index.ef_construction}}.get(index.kind, {})

    @staticmethod
    def _search_parameters(index: IndexConfig, k: int) -> dict[str, int]:
        return {"ivf_flat": {"nprobe": index.nprobe}, "hnsw": {"ef": max(index.ef_search, k)}}.get(index.kind, {})

    def _drop(self, name: str) -> None:
        self.client.drop_collection(name, timeout=self._timeout)

    def _upsert(self, ids: list[int], vectors: np.ndarray, payloads: list[dict[str, Scalar]]) -> None:
        for part in batches(len(ids), max(1, _BATCH_BYTES // (vectors.shape[1] * vectors.itemsize))):
            rows = [{"id": i, "vector": v, "payload": p} for i, v, p in zip(ids[part], vectors[part], payloads[part])]
            self.client.upsert(self._collection().name, rows, timeout=self._timeout)

    def _search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition]) -> list[Hit]:
        collection = self._collection()
        found: Any = self.client.search(
            collection.name,
            data=[vector],
            anns_field="vector",
            limit=k,
            filter=to_milvus(conditions),
            search_params={"metric_type": _METRIC[collection.metric],
                           "params": self._search_parameters(collection.index, k)},
            output_fields=["payload"],
            timeout=self._timeout,
        )
        return [Hit(int(hit["id"]), float(hit["distance"]), dict(hit["entity"]["payload"])) for hit in found[0]]

    def _delete(self, ids: list[int]) -> None:
        for part in batches(len(ids), 10_000):
            self.client.delete(self._collection().name, ids=ids[part], timeout=self._timeout)

    def _count(self) -> int:
        rows = self.client.query(self._collection().name, output_fields=["count(*)"], timeout=self._timeout)
        return int(rows[0]["count(*)"])
