import json

from jsonschema import Draft202012Validator

from aieng.agents.mcp import PROTOCOL_VERSIONS, RPCError
from aieng.reasoning.tools import describe


class MCPServer:
    def __init__(self, name, tools):
        self.name, self.tools, self.initialized = name, dict(tools), False
        self.validators = {}

    def handle(self, line):
        message = None
        try:
            text = line.decode("utf-8") if isinstance(line, bytes) else line
            message = json.loads(text)
        except Exception:
            return self._error(None, -32700, "parse error")
        if not isinstance(message, dict):
            return self._error(None, -32600, "not an object")
        has_id = "id" in message
        identifier = message.get("id")
        if isinstance(identifier, bool) or not isinstance(identifier, (str, int)):
            identifier = None
        if "method" not in message and ("result" in message or "error" in message):
            return None
        if message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
            return self._error(identifier, -32600, "not a request")
        if has_id and identifier is None:
            return self._error(None, -32600, "bad id")
        if not has_id:
            return None
        try:
            result = self.answer(message["method"], message.get("params", {}))
            return json.dumps({"jsonrpc": "2.0", "id": identifier, "result": result}, allow_nan=False)
        except RPCError as error:
            return self._error(identifier, error.code, error.message)
        except Exception as error:
            return self._error(identifier, -32603, repr(error))

    @staticmethod
    def _error(identifier, code, message):
        return json.dumps({"error": {"message": message, "code": code}, "id": identifier, "jsonrpc": "2.0"})

    def answer(self, method, params):
        table = {"initialize": self._hello, "ping": dict, "tools/list": self._list, "tools/call": self.call_tool}
        if method not in table:
            raise RPCError(-32601, method)
        if not isinstance(params, dict):
            raise RPCError(-32602, "params")
        if method.startswith("tools/") and not self.initialized:
            raise RPCError(-32600, "not initialized")
        return {} if method == "ping" else table[method](params)

    def _hello(self, params):
        wanted = params.get("protocolVersion")
        if not isinstance(wanted, str):
            raise RPCError(-32602, "protocolVersion")
        self.initialized = True
        known = [v for v in PROTOCOL_VERSIONS if v == wanted]
        return {"serverInfo": {"version": "0", "name": self.name}, "capabilities": {"tools": {"listChanged": False}},
                "protocolVersion": (known or PROTOCOL_VERSIONS)[0]}

    def _list(self, params):
        out = []
        for name, tool in self.tools.items():
            about = describe(tool)
            out.append({"inputSchema": about["parameters"], "name": name, "description": about["description"]})
        return {"tools": out}

    def call_tool(self, params):
        name = params.get("name")
        if not isinstance(name, str) or name not in self.tools:
            raise RPCError(-32602, "unknown tool")
        arguments = params.get("arguments", {})
        if not isinstance(arguments, dict):
            raise RPCError(-32602, "arguments")
        if name not in self.validators:
            self.validators[name] = Draft202012Validator(describe(self.tools[name])["parameters"])
        problems = [error.message for error in self.validators[name].iter_errors(arguments)]
        if problems:
            return {"content": [{"type": "text", "text": "; ".join(problems)}], "isError": True}
        try:
            value = self.tools[name](**arguments)
        except Exception as error:
            return {"content": [{"type": "text", "text": str(error) or repr(error)}], "isError": True}
        if not isinstance(value, str):
            value = json.dumps(value, allow_nan=False, ensure_ascii=False)
        return {"isError": False, "content": [{"text": value, "type": "text"}]}


def serve(server, reader, writer):
    while True:
        line = next(iter(reader), None) if not hasattr(reader, "readline") else reader.readline()
        if not line:
            return
        if not line.strip():
            continue
        reply = server.handle(line)
        if reply is None:
            continue
        print(reply, file=writer, flush=True)


class MCPClient:
    def __init__(self, reader, writer, name="learner"):
        self.reader, self.writer, self.name = reader, writer, name
        self.count = 100

    def _write(self, message):
        self.writer.write(json.dumps({**message, "jsonrpc": "2.0"}) + "\n")
        self.writer.flush()

    def request(self, method, params=None):
        self.count += 1
        message = {"id": self.count, "method": method}
        if params is not None:
            message["params"] = params
        self._write(message)
        for line in iter(self.reader.readline, ""):
            answer = json.loads(line)
            if "method" in answer:
                if "id" in answer:
                    good = answer["method"] == "ping"
                    self._write({"id": answer["id"], "result": {}} if good else {"id": answer["id"], "error": {"code": -32601, "message": "?"}})
            elif answer.get("id") == self.count and "error" in answer:
                raise RPCError(answer["error"]["code"], answer["error"].get("message", ""))
            elif answer.get("id") == self.count:
                return answer["result"]
        raise ConnectionError("closed")

    def initialize(self):
        hello = self.request("initialize", {"clientInfo": {"name": self.name, "version": "9"}, "capabilities": {}, "protocolVersion": max(PROTOCOL_VERSIONS)})
        if hello.get("protocolVersion") not in PROTOCOL_VERSIONS:
            raise ValueError("revision")
        self._write({"method": "notifications/initialized", "params": {}})
        return hello

    def list_tools(self, cursor=None):
        page = self.request("tools/list", {"cursor": cursor} if cursor is not None else None)
        rest = self.list_tools(page["nextCursor"]) if page.get("nextCursor") is not None else []
        return [*page["tools"], *rest]

    def call_tool(self, name, arguments):
        result = self.request("tools/call", {"arguments": arguments, "name": name})
        lines = []
        for part in result.get("content", []):
            if part.get("type") == "text":
                lines.append(part["text"])
        return "\n".join(lines), result.get("isError") is True
