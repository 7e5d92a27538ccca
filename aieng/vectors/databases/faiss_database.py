"""FAISS with what a database adds to it: ids, payloads, filters, deletion, a file. Written out, so you see what you buy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aieng.vectors.databases.base import BaseDatabase, Collection, Hit, IndexConfig, require
from aieng.vectors.databases.filters import Condition, Scalar, matches
from aieng.vectors.storage import load_arrays, save_arrays

# faiss asks for 39 points per centroid and warns below; a small corpus may go down to this.
_POINTS_PER_LIST = 10


class FaissDatabase(BaseDatabase):
    """A FAISS index inside this process, the payloads beside it in a dict.

    A row has a slot, its position in the index. Replacing a row adds a new slot and retires the old one, since an HNSW
    graph cannot give up a node; the index is built anew once more than half of its slots are retired. A filter is turned
    into the list of slots that may be returned, which FAISS honours while it searches.

    Parameters
    ----------
    path : folder for the files; None keeps everything in memory. Writes reach the disk with `save` and `close`.
    """

    engine = "FAISS"

    def __init__(self, path: str | Path | None = None) -> None:
        super().__init__()
        self.client = require("faiss", "faiss-cpu")
        self._folder = None if path is None else Path(path)
        self._index: Any = None
        self._ids = np.empty(0, np.int64)  # slot -> id
        self._slots: dict[int, int] = {}  # id -> its live slot
        self._payloads: dict[int, dict[str, Scalar]] = {}
        self._changed = False

    @property
    def index(self) -> Any:
        """The faiss index itself: slots and vectors. Ids and payloads lie beside it."""
        self._collection()
        return self._index

    def save(self) -> None:
        """Write the open collection to its file, whole or not at all."""
        collection = self._collection()
        if self._folder is None:
            raise ValueError("this FaissDatabase lives in memory only; give it a folder: FaissDatabase(path)")
        self._folder.mkdir(parents=True, exist_ok=True)
        # Tuples, because JSON would turn the ids into text.
        payloads = json.dumps([(i, p) for i, p in self._payloads.items() if p]).encode()
        index = collection.index
        save_arrays(
            self._folder / f"{collection.name}.faiss",
            "faiss-database",
            {"index": self.client.serialize_index(self._index), "ids": self._ids,
             "live": np.fromiter(self._slots.values(), np.int64, len(self._slots)),
             "payloads": np.frombuffer(payloads, np.uint8)},
            {"dim": collection.dim, "metric": collection.metric, "kind": index.kind, "nlist": index.nlist,
             "nprobe": index.nprobe, "M": index.M, "ef_construction": index.ef_construction, "ef_search": index.ef_search},
        )
        self._changed = False

    def close(self) -> None:
        if self._open_collection is not None and self._folder is not None and self._changed:
            self.save()
        super().close()

    def _file(self, name: str) -> Path | None:
        file = None if self._folder is None else self._folder / f"{name}.faiss"
        return file if file is not None and file.exists() else None

    def _describe(self, name: str) -> Collection | None:
        if self._open_collection is not None:
            if self._open_collection.name == name:
                return self._open_collection
            if self._folder is not None and self._changed:
                self.save()
        file = self._file(name)
        if file is None:
            return None
        _, meta = load_arrays(file, "faiss-database")
        settings = dict(meta)
        return Collection(name, settings.pop("dim"), settings.pop("metric"), IndexConfig(**settings))

    def _create(self, collection: Collection) -> None:
        self._index = self._empty(collection, trained=collection.index.kind != "ivf_flat")
        self._ids, self._slots, self._payloads, self._changed = np.empty(0, np.int64), {}, {}, True
        self._open_collection = collection

    def _open(self, collection: Collection) -> None:
        if self._open_collection is not None and self._open_collection.name == collection.name:
            return
        arrays, _ = load_arrays(self._folder / f"{collection.name}.faiss", "faiss-database")  # type: ignore[operator]
        self._index = self.client.deserialize_index(np.ascontiguousarray(arrays["index"]))
        self._ids = arrays["ids"]
        self._slots = {int(self._ids[slot]): int(slot) for slot in arrays["live"]}
        written = dict(json.loads(arrays["payloads"].tobytes()))
        self._payloads = {i: written.get(i, {}) for i in self._slots}
        self._changed = False

    def _drop(self, name: str) -> None:
        file = self._file(name)
        if file is not None:
            file.unlink()
        if self._open_collection is not None and self._open_collection.name == name:
            self._index, self._ids, self._slots, self._payloads, self._changed = None, np.empty(0, np.int64), {}, {}, False

    def _empty(self, collection: Collection, trained: bool = True) -> Any:
        faiss, config = self.client, collection.index
        metric = faiss.METRIC_L2 if collection.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        flat = faiss.IndexFlatL2(collection.dim) if collection.metric == "l2" else faiss.IndexFlatIP(collection.dim)
        if config.kind == "flat" or not trained:
            return flat
        if config.kind == "ivf_flat":
            index = faiss.IndexIVFFlat(flat, collection.dim, config.nlist, metric)
            flat.this.disown()
            index.own_fields = True
            index.cp.min_points_per_centroid = _POINTS_PER_LIST
            return index
        index = faiss.IndexHNSWFlat(collection.dim, config.M, metric)
        index.hnsw.efConstruction = config.ef_construction
        return index

    def _prepared(self, vectors: np.ndarray) -> np.ndarray:
        """Rows as the index holds them: of unit length for "cosine", which makes the inner product the cosine."""
        if self._collection().metric != "cosine":
            return vectors
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _upsert(self, ids: list[int], vectors: np.ndarray, payloads: list[dict[str, Scalar]]) -> None:
        first = len(self._ids)
        self._index.add(self._prepared(vectors))
        self._ids = np.concatenate([self._ids, np.asarray(ids, np.int64)])
        self._slots.update(zip(ids, range(first, len(self._ids))))
        self._payloads.update(zip(ids, payloads))
        self._changed = True
        self._maintain()

    def _delete(self, ids: list[int]) -> None:
        for i in ids:
            if self._slots.pop(i, None) is not None:
                del self._payloads[i]
                self._changed = True
        self._maintain()

    def _maintain(self) -> None:
        """Train IVF once there is enough to cluster (until then the search is exact); drop retired slots when they win."""
        collection = self._collection()
        untrained = collection.index.kind == "ivf_flat" and not isinstance(self._index, self.client.IndexIVFFlat)
        train = untrained and len(self._slots) >= _POINTS_PER_LIST * collection.index.nlist
        if not train and len(self._ids) <= 2 * len(self._slots):
            return
        live = np.sort(np.fromiter(self._slots.values(), np.int64, len(self._slots)))
        if isinstance(self._index, self.client.IndexIVFFlat):
            self._index.make_direct_map()
        rows = (self._index.reconstruct_batch(live) if len(live)
                else np.empty((0, collection.dim), np.float32))
        index = self._empty(collection, trained=not untrained or train)
        if not index.is_trained and len(rows) >= collection.index.nlist:
            index.train(rows)
        elif not index.is_trained:
            index = self._empty(collection, trained=False)
        index.add(rows)
        self._index, self._ids = index, self._ids[live]
        self._slots = {int(i): slot for slot, i in enumerate(self._ids)}

    def _search(self, vector: np.ndarray, k: int, conditions: Sequence[Condition]) -> list[Hit]:
        allowed = [slot for i, slot in self._slots.items() if matches(self._payloads[i], conditions)]
        k = min(k, len(allowed))
        if k == 0:
            return []
        mask = np.zeros(len(self._ids), bool)
        mask[allowed] = True
        everything = len(allowed) == len(self._ids)
        bitmap = np.packbits(mask, bitorder="little")
        selector = None if everything else self.client.IDSelectorBitmap(bitmap)
        config, query, effort = self._collection().index, self._prepared(vector[None]), 1
        # Over-fetch: with many rows ruled out, a search that looks at few candidates may come back short; look at more.
        while True:
            scores, slots = self._index.search(query, k, params=self._effort(config, selector, effort, k))
            found = slots[0] >= 0
            if found.sum() == k or effort > max(config.nlist, len(self._ids)):
                break
            effort *= 2
        return [Hit(int(self._ids[s]), float(score), dict(self._payloads[int(self._ids[s])]))
                for score, s in zip(scores[0][found], slots[0][found])]

    def _effort(self, config: IndexConfig, selector: Any, effort: int, k: int) -> Any:
        chosen = {} if selector is None else {"sel": selector}
        if isinstance(self._index, self.client.IndexIVFFlat):
            return self.client.SearchParametersIVF(nprobe=min(config.nlist, config.nprobe * effort), **chosen)
        if isinstance(self._index, self.client.IndexHNSW):
            return self.client.SearchParametersHNSW(efSearch=max(config.ef_search, k) * effort, **chosen)
        return self.client.SearchParameters(**chosen)

    def _count(self) -> int:
        return len(self._slots)
