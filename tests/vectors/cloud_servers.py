"""Loopback stand-ins for Pinecone and Weaviate: they speak the real wire format, keep rows in a dict, record requests.

The official clients talk to them unmodified, so what is tested is what would go over the network. They implement what
our adapters use and refuse the rest.
"""

from __future__ import annotations

import json
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import numpy as np


def _loopback(answer):
    """Serve `answer(method, path, body, headers) -> (status, object)` over HTTP; returns (server, address)."""

    class Handler(BaseHTTPRequestHandler):
        def _go(self):
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, value = answer(self.command, self.path.split("?")[0], json.loads(raw) if raw else None, dict(self.headers))
            data = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = _go

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def _score(metric, query, row):
    query, row = np.asarray(query, np.float64), np.asarray(row, np.float64)
    if metric in ("euclidean", "l2-squared"):
        return float(((query - row) ** 2).sum())
    product = float(query @ row)
    return product / float(np.linalg.norm(query) * np.linalg.norm(row)) if metric == "cosine" else product


class PineconeServer:
    """Control plane and data plane on one port."""

    def __init__(self):
        self.requests = []
        self.indexes = {}
        self.rows = {}
        self.fail_with = None
        self._server, self.address = _loopback(self._answer)

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, method, path, body, headers):
        self.requests.append((method, path, body, headers))
        if self.fail_with:
            return self.fail_with, {"error": {"code": "INVALID_ARGUMENT", "message": "made to fail"}, "status": self.fail_with}
        if path == "/indexes" and method == "POST":
            self.indexes[body["name"]] = body
        if path.startswith("/indexes"):
            name = body["name"] if method == "POST" else path.removeprefix("/indexes/")
            if name not in self.indexes:
                return 404, {"error": {"code": "NOT_FOUND", "message": f"no index {name}"}, "status": 404}
            if method == "DELETE":
                del self.indexes[name]
                self.rows.clear()
                return 202, None
            return 200, {**self.indexes[name], "host": self.address, "status": {"ready": True, "state": "Ready"},
                         "deletion_protection": "disabled"}
        return 200, {"/vectors/upsert": self._upsert, "/query": self._query, "/vectors/delete": self._delete,
                     "/describe_index_stats": self._stats}[path](body)

    def _upsert(self, body):
        self.rows.update({row["id"]: row for row in body["vectors"]})
        return {"upsertedCount": len(body["vectors"])}

    def _query(self, body):
        metric = next(iter(self.indexes.values()))["schema"]["fields"]["_values"]["metric"]
        found = [(_score(metric, body["vector"], row["values"]), row) for row in self.rows.values()
                 if self._meets(row["metadata"], body.get("filter") or {})]
        found.sort(key=lambda pair: pair[0], reverse=metric != "euclidean")
        return {"matches": [{"id": row["id"], "score": score, "metadata": row["metadata"]}
                            for score, row in found[: body["topK"]]], "namespace": "", "usage": {"readUnits": 1}}

    def _meets(self, metadata, condition):
        compare = {"$eq": lambda a, b: a == b, "$in": lambda a, b: a in b, "$lt": lambda a, b: a < b,
                   "$lte": lambda a, b: a <= b, "$gt": lambda a, b: a > b, "$gte": lambda a, b: a >= b}
        for key, tests in condition.items():
            if key == "$and":
                if not all(self._meets(metadata, one) for one in tests):
                    return False
            elif key not in metadata or not all(compare[op](metadata[key], value) for op, value in tests.items()):
                return False
        return True

    def _delete(self, body):
        for key in body["ids"]:
            self.rows.pop(key, None)
        return {}

    def _stats(self, body):
        return {"namespaces": {}, "dimension": 4, "indexFullness": 0.0, "totalVectorCount": len(self.rows)}


class WeaviateServer:
    """REST for the schema, gRPC for rows; compiled from Weaviate's own protobuf files, which its client ships."""

    def __init__(self):
        import grpc
        from weaviate.proto.v1 import weaviate_pb2_grpc

        self.requests = []
        self.schema = {}
        self.rows = {}
        self.refuse_rows = False
        self._http, self.address = _loopback(self._answer)
        self._grpc = grpc.server(futures.ThreadPoolExecutor(2))
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(self._servicer(), self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None)

    def _answer(self, method, path, body, headers):
        self.requests.append((method, path, body, headers))
        parts = path.removeprefix("/v1/").split("/")
        if path == "/v1/meta":
            return 200, {"version": "1.36.0", "hostname": self.address}
        if parts[0] != "schema":
            return 404, None
        if method == "POST" and len(parts) == 1:
            self.schema[body["class"]] = {"properties": [], **body}
            return 200, self._described(body["class"])
        name = parts[1]
        if name not in self.schema:
            return 404, {"error": [{"message": f"no class {name}"}]}
        if method == "DELETE":
            del self.schema[name]
            self.rows.clear()
            return 200, None
        if method == "POST" and parts[2:] == ["properties"]:
            self.schema[name]["properties"].append(body)
            return 200, body
        return 200, self._described(name)

    def _described(self, name):
        """What a real server adds to the class that was posted."""
        return {
            "invertedIndexConfig": {"bm25": {"b": 0.75, "k1": 1.2}, "cleanupIntervalSeconds": 60,
                                    "stopwords": {"preset": "en", "additions": None, "removals": None}},
            "multiTenancyConfig": {"enabled": False},
            "shardingConfig": {"virtualPerPhysical": 128, "desiredCount": 1, "actualCount": 1, "desiredVirtualCount": 128,
                               "actualVirtualCount": 128, "key": "_id", "strategy": "hash", "function": "murmur3"},
            "replicationConfig": {"factor": 1, "asyncEnabled": False, "deletionStrategy": "NoAutomatedResolution"},
            **self.schema[name],
            "properties": [{"indexFilterable": True, "indexSearchable": False, **p} for p in self.schema[name]["properties"]],
            "vectorConfig": {key: {**value, "vectorIndexConfig": {**_INDEX_DEFAULTS, **value["vectorIndexConfig"]}}
                             for key, value in self.schema[name]["vectorConfig"].items()},
        }

    def _metric(self, name):
        return self.schema[name]["vectorConfig"]["default"]["vectorIndexConfig"]["distance"]

    def _servicer(self):
        from weaviate.proto.v1 import aggregate_pb2, batch_delete_pb2, batch_pb2, search_get_pb2, weaviate_pb2_grpc

        outer = self

        class Servicer(weaviate_pb2_grpc.WeaviateServicer):
            def BatchObjects(self, request, context):
                outer.requests.append(("gRPC", "BatchObjects", request, dict(context.invocation_metadata())))
                reply = batch_pb2.BatchObjectsReply()
                for place, row in enumerate(request.objects):
                    if outer.refuse_rows:
                        reply.errors.add(index=place, error="made to fail")
                        continue
                    raw = row.vectors[0].vector_bytes if row.vectors else row.vector_bytes
                    values = {k: getattr(v, v.WhichOneof("kind")) for k, v in row.properties.non_ref_properties.fields.items()}
                    outer.rows[row.uuid] = (np.frombuffer(raw, "<f4"), values)
                return reply

            def Search(self, request, context):
                outer.requests.append(("gRPC", "Search", request, dict(context.invocation_metadata())))
                near, metric = request.near_vector, outer._metric(request.collection)
                raw = near.vectors[0].vector_bytes if near.vectors else near.vector_bytes
                query = np.frombuffer(raw, "<f4")
                turn = {"l2-squared": lambda s: s, "dot": lambda s: -s, "cosine": lambda s: 1 - s}[metric]
                found = sorted(((turn(_score(metric, query, v)), key, values) for key, (v, values) in outer.rows.items()
                                if not request.HasField("filters") or outer._meets(key, values, request.filters)),
                               key=lambda row: row[0])
                reply = search_get_pb2.SearchReply()
                for distance, key, values in found[: request.limit]:
                    result = reply.results.add()
                    result.metadata.id, result.metadata.id_as_bytes = key, UUID(key).bytes
                    result.metadata.distance, result.metadata.distance_present = distance, True
                    result.properties.target_collection = request.collection
                    for name, value in values.items():
                        field = result.properties.non_ref_props.fields[name]
                        if isinstance(value, bool):
                            field.bool_value = value
                        elif isinstance(value, str):
                            field.text_value = value
                        else:
                            field.number_value = value
                return reply

            def BatchDelete(self, request, context):
                outer.requests.append(("gRPC", "BatchDelete", request, {}))
                gone = [key for key, (_, values) in outer.rows.items() if outer._meets(key, values, request.filters)]
                for key in gone:
                    del outer.rows[key]
                return batch_delete_pb2.BatchDeleteReply(matches=len(gone), successful=len(gone))

            def Aggregate(self, request, context):
                outer.requests.append(("gRPC", "Aggregate", request, {}))
                return aggregate_pb2.AggregateReply(
                    single_result=aggregate_pb2.AggregateReply.Single(objects_count=len(outer.rows)))

        return Servicer()

    def _meets(self, key, values, condition):
        from weaviate.proto.v1 import base_pb2

        name = base_pb2.Filters.Operator.Name(condition.operator).removeprefix("OPERATOR_")
        if name == "AND":
            return all(self._meets(key, values, one) for one in condition.filters)
        field = condition.target.property
        have = str(UUID(key)) if field == "_id" else values.get(field)
        kind = condition.WhichOneof("test_value")
        want = getattr(condition, kind)
        want = list(want.values) if kind.endswith("_array") else want
        expected = {"value_text": str, "value_number": float, "value_boolean": bool}[kind.removesuffix("_array")]
        if have is None or not isinstance(have, expected):
            return False
        return {"EQUAL": lambda: have == want, "CONTAINS_ANY": lambda: have in want, "LESS_THAN": lambda: have < want,
                "LESS_THAN_EQUAL": lambda: have <= want, "GREATER_THAN": lambda: have > want,
                "GREATER_THAN_EQUAL": lambda: have >= want}[name]()


_INDEX_DEFAULTS = {
    "cleanupIntervalSeconds": 300, "dynamicEfMin": 100, "dynamicEfMax": 500, "dynamicEfFactor": 8, "flatSearchCutoff": 40000,
    "skip": False, "vectorCacheMaxObjects": 1_000_000, "maxConnections": 32, "efConstruction": 128, "ef": -1,
    "distance": "cosine", "filterStrategy": "sweeping",
}
