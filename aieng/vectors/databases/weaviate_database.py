"""Weaviate, a server of your own or its cloud, through the official v4 client. Runs only where you have an address."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlparse
from uuid import UUID

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
from aieng.vectors.databases.filters import Condition, Scalar, to_weaviate

_METRIC = {"l2": "l2-squared", "ip": "dot", "cosine": "cosine"}
_BATCH_BYTES = 8 * 2**20
_LOW_BITS = 2**62 - 1


class WeaviateDatabase(BaseDatabase):
    """A Weaviate collection whose vectors you provide.

    Parameters
    ----------
    url : such as "http://localhost:8080"; default: the environment variable WEAVIATE_URL
    api_key : default: the environment variable WEAVIATE_API_KEY; may be empty
    grpc_port : searches and writes go over gRPC, on another port than `url`; not used with Weaviate Cloud
    timeout : seconds for one attempt of one request

    Raises
    ------
    ValueError : no address
    ConnectionError : nothing answers there
    """

    engine = "Weaviate"
    kinds = ("flat", "hnsw", "auto")

    def __init__(self, url: str = "", api_key: str = "", grpc_port: int = 50051, timeout: float = 10.0) -> None:
        super().__init__()
        url = url or os.environ.get("WEAVIATE_URL", "")
        if not url:
            raise ValueError("Weaviate needs an address; pass url, or set the environment variable WEAVIATE_URL")
        weaviate = require("weaviate", "weaviate-client")
        init, auth = require("weaviate.classes.init", "weaviate-client"), require("weaviate.auth", "weaviate-client")
        errors = require("weaviate.exceptions", "weaviate-client")
        self.client_errors = (errors.WeaviateBaseError, errors.WeaviateStartUpError)
        self._all_refused = errors.WeaviateInsertManyAllFailedError  # raised where not even one row was taken
        self._config, self._query = require("weaviate.classes.config", ""), require("weaviate.classes.query", "")
        self._object = require("weaviate.classes.data", "").DataObject
        api_key = api_key or os.environ.get("WEAVIATE_API_KEY", "")
        where = urlparse(url if "://" in url else f"https://{url}")
        secure, host = where.scheme == "https", where.hostname or ""
        cloud = host.endswith((".weaviate.cloud", ".weaviate.network"))
        options: dict[str, Any] = {
            "auth_credentials": auth.Auth.api_key(api_key) if api_key else None,
            "additional_config": init.AdditionalConfig(timeout=init.Timeout(init=timeout, query=timeout, insert=timeout)),
            # The checks ask PyPI for the newest client, which an offline machine cannot.
            "skip_init_checks": True,
        }
        try:
            if cloud:
                self.client = weaviate.connect_to_weaviate_cloud(host, **options)
            else:
                socket.create_connection((host, grpc_port), timeout).close()  # its client would find out after many retries
                self.client = weaviate.connect_to_custom(host, where.port or (443 if secure else 80), secure, host, grpc_port,
                                                         secure, **options)
        except (*self.client_errors, OSError) as error:
            raise ConnectionError(f"no Weaviate answers at {url} with gRPC on port {grpc_port}: is it running, and are the "
                                  f"address, port and key right?") from error
        self._rows: Any = None

    def close(self) -> None:
        super().close()
        if self.client is not None:
            self.client.close()
            self.client = None

    @staticmethod
    def _there(name: str) -> str:
        return name[0].upper() + name[1:]  # Weaviate starts a collection's name with a capital

    @staticmethod
    def _key(i: int) -> str:
        # Weaviate's ids are UUIDs; a version-4 pattern leaves the 62 low bits to us, so the id can be read back.
        return str(UUID(int=i, version=4))

    def _describe(self, name: str) -> Collection | None:
        if not self.client.collections.exists(self._there(name)):
            return None
        about = self.client.collections.use(self._there(name)).config.get()
        index = about.vector_config["default"].vector_index_config
        kind = index.vector_index_type()
        if kind not in self.kinds:
            raise ValueError(f"Weaviate's {name!r} has a {kind!r} index; this class knows {', '.join(self.kinds)}")
        metric = {v: k for k, v in _METRIC.items()}[str(index.distance_metric.value)]
        # Weaviate learns the dimension from the first vector; the description keeps what create() was told.
        dim = str(about.description or "").removeprefix("dim=")
        if not dim.isdigit():
            raise ValueError(f"Weaviate has a collection {name!r} that this class did not make; choose another name")
        return Collection(name, int(dim), metric, IndexConfig(kind=kind))

    def _create(self, collection: Collection) -> None:
        config, index = self._config.Configure, collection.index
        distance = self._config.VectorDistances(_METRIC[collection.metric])
        vectors = (config.VectorIndex.flat(distance_metric=distance) if index.kind == "flat" else
                   config.VectorIndex.hnsw(distance_metric=distance, max_connections=index.M,
                                           ef_construction=index.ef_construction, ef=index.ef_search))
        self.client.collections.create(self._there(collection.name), description=f"dim={collection.dim}",
                                       vector_config=config.Vectors.self_provided(vector_index_config=vectors))

    def _open(self, collection: Collection) -> None:
        self._rows = self.client.collections.use(self._there(collection.name))

    def _declare(self, payloads: Sequence[Mapping[str, Scalar]]) -> None:
        """Add properties that are new. Left to Weaviate, text would be cut into words, and "eq" would match any of them."""
        kinds = {name: value for p in payloads for name, value in p.items()}
        if not kinds:
            return
        known = {p.name for p in self._rows.config.get().properties}
        types = self._config.DataType
        for name in sorted(kinds.keys() - known):
            if isinstance(kinds[name], str):
                new = self._config.Property(name=name, data_type=types.TEXT, tokenization=self._config.Tokenization.FIELD)
            else:
                new = self._config.Property(name=name, data_type=types.BOOL if isinstance(kinds[name], bool) else types.NUMBER,
                                            index_range_filters=not isinstance(kinds[name], bool))
            self._rows.config.add_property(new)

    def _drop(self, name: str) -> None:
        self.client.collections.delete(self._there(name))

    def _upsert(self, ids: list[int], vectors: np.ndarray, payloads: list[dict[str, Scalar]]) -> None:
        stored = [without_ints(p) for p in payloads]
        self._declare(stored)
        for part in batches(len(ids), max(1, _BATCH_BYTES // (vectors.shape[1] * vectors.itemsize))):
            rows = [self._object(uuid=self._key(i), vector=v.tolist(), properties=p)
                    for i, v, p in zip(ids[part], vectors[part], stored[part])]
            try:
                result = self._rows.data.insert_many(rows)
            except self._all_refused as error:
                reason = str(error).strip().removesuffix(".").rpartition("errors: ")[2]
                raise DatabaseError(f"Weaviate refused {len(rows)} of {len(rows)} rows, "
                                    f"the first of them id {ids[part][0]}: {reason}") from error
            if result.has_errors:
                first, refused = next(iter(result.errors.items()))
                raise DatabaseError(f"Weaviate refused {len(result.errors)} of {len(rows)} rows, "
                                    f"the first of them id {ids[part][first]}: {refused.message}")

    def _search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition]) -> list[Hit]:
        found = self._rows.query.near_vector(vector.tolist(), limit=k, filters=to_weaviate(conditions),
                                             return_metadata=self._query.MetadataQuery(distance=True))
        # Weaviate's distance is -similarity for "ip" and 1 - similarity for "cosine".
        turn = {"l2": lambda d: d, "ip": lambda d: -d, "cosine": lambda d: 1.0 - d}[self._collection().metric]
        return [Hit(row.uuid.int & _LOW_BITS, turn(float(row.metadata.distance)), with_ints(row.properties))
                for row in found.objects]

    def _delete(self, ids: list[int]) -> None:
        for part in batches(len(ids), 1_000):
            keys = [self._key(i) for i in ids[part]]
            self._rows.data.delete_many(where=self._query.Filter.by_id().contains_any(keys))

    def _count(self) -> int:
        return int(self._rows.aggregate.over_all(total_count=True).total_count)
