import json

import jsonschema

from aieng.agents.mcp import PROTOCOL_VERSIONS, RPCError  # newest revision first; RPCError(code, message)
from aieng.reasoning.tools import describe


class MCPServer:

    def __init__(self, name, tools):
        self.name, self.tools, self.initialized = name, dict(tools), False

    def handle(self, line):
        request_id = None
        try:
            try:
                message = json.loads(line.decode() if isinstance(line, bytes) else line)
            except (ValueError, RecursionError) as error:
                raise RPCError(-32700, f"this is no JSON: {error}") from error
            fields = message if isinstance(message, dict) else {}
            if "method" not in fields and ("result" in fields or "error" in fields):
                return None
            proper_id = type(fields.get("id")) in (str, int)
            request_id = fields["id"] if proper_id else None
            if fields.get("jsonrpc") != "2.0" or not isinstance(fields.get("method"), str) or not (proper_id or "id" not in fields):
                raise RPCError(-32600, "this is no JSON-RPC 2.0 request")
            if "id" not in fields:
                return None
            result = self.answer(fields["method"], fields.get("params", {}))
            return json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result})
        except RPCError as error:
            problem = {"code": error.code, "message": error.message}
        except Exception as error:
            problem = {"code": -32603, "message": f"internal error: {error}"}
        return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": problem})

    def answer(self, method, params):
        if method not in ("initialize", "ping", "tools/list", "tools/call"):
            raise RPCError(-32601, f"no method {method!r} here")
        if not isinstance(params, dict):
            raise RPCError(-32602, "params must be an object")
        if method == "ping":
            return {}
        if method == "initialize":
            version = params.get("protocolVersion")
            if not isinstance(version, str):
                raise RPCError(-32602, "which protocolVersion?")
            self.initialized = True
            return {"protocolVersion": version if version in PROTOCOL_VERSIONS else PROTOCOL_VERSIONS[0],
                    "capabilities": {"tools": {}}, "serverInfo": {"name": self.name, "version": "1.0"}}
        if not self.initialized:
            raise RPCError(-32600, "initialize first")
        if method == "tools/call":
            return self.call_tool(params)
        described = [describe(tool) | {"name": name} for name, tool in self.tools.items()]
        return {"tools": [{"name": d["name"], "description": d["description"], "parameters": d["parameters"]} for d in described]}

    def call_tool(self, params):
        name, arguments = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str) or name not in self.tools:
            raise RPCError(-32602, f"no tool {name!r} here")
        if not isinstance(arguments, dict):
            raise RPCError(-32602, "arguments must be an object")
        failed = True
        try:
            jsonschema.validate(arguments, describe(self.tools[name])["parameters"])
            result = self.tools[name](**arguments)
            failed = False
        except jsonschema.ValidationError as error:
            result = f"the arguments do not fit: {error.message}"
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        text = result if isinstance(result, str) else json.dumps(result, allow_nan=False)
        return {"content": [{"type": "text", "text": text}], "isError": failed}


def serve(server, reader, writer):
    for line in reader:
        reply = server.handle(line) if line.strip() else None
        if reply is not None:
            writer.write(reply + "\n")
            writer.flush()


class MCPClient:

    def __init__(self, reader, writer, name="learner"):
        self.reader, self.writer, self.name, self.last_id = reader, writer, name, 0

    def request(self, method, params=None):
        self.last_id += 1
        self.send(id=self.last_id, method=method, params=params or {})
        while line := self.reader.readline():
            message = json.loads(line)
            if message.get("method") == "ping" and "id" in message:
                self.send(id=message["id"], result={})
            elif "method" in message and "id" in message:
                self.send(id=message["id"], error={"code": -32601, "message": "clients have no such method"})
            elif "method" not in message and message.get("id") == self.last_id:
                if "error" in message:
                    raise RPCError(message["error"]["code"], message["error"]["message"])
                return message["result"]
        raise ConnectionError("the server ended before it answered")

    def send(self, **fields):
        self.writer.write(json.dumps({"jsonrpc": "2.0"} | fields) + "\n")
        self.writer.flush()

    def initialize(self):
        about = {"name": self.name, "version": "1.0"}
        result = self.request("initialize", {"protocolVersion": PROTOCOL_VERSIONS[0], "capabilities": {}, "clientInfo": about})
        if result["protocolVersion"] not in PROTOCOL_VERSIONS:
            raise ValueError(f"no common revision: the server speaks {result['protocolVersion']}")
        self.send(method="notifications/initialized")
        return result

    def list_tools(self):
        tools, params = [], {}
        while params is not None:
            page = self.request("tools/list", params)
            tools.extend(page["tools"])
            params = {"cursor": page["nextCursor"]} if page.get("nextCursor") is not None else None
        return tools

    def call_tool(self, name, arguments):
        result = self.request("tools/call", {"name": name, "arguments": arguments})
        texts = [part["text"] for part in result["content"] if part["type"] == "text"]
        return "\n".join(texts), result.get("isError", False)
