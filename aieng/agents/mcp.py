"""The Model Context Protocol by hand: a server and a client that exchange JSON-RPC 2.0 messages, one a line.

Sources: JSON-RPC 2.0 specification (2013); Model Context Protocol, revision 2025-11-25: base protocol (lifecycle, stdio transport, ping)
and server features (tools), modelcontextprotocol.io/specification/2025-11-25. Arguments that do not fit are the tool's error, not the
protocol's: SEP-1303 of the same revision.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import jsonschema

from aieng.reasoning.tools import describe

# Revisions that begin with the `initialize` handshake, newest first. (2026-07-28 has none: its client falls back to these.)
PROTOCOL_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603


class RPCError(Exception):
    """An error by number, as JSON-RPC sends it: `code` (int) and `message` (str)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code, self.message = code, message


class MCPServer:
    """Offers functions as tools; one message in, at most one reply out.

    Parameters
    ----------
    name : str, told to the client
    tools : mapping of str to callable; described by `describe`

    Notes
    -----
    Answers ``initialize``, ``ping``, ``tools/list`` and ``tools/call``. The last two are refused before ``initialize``.
    """

    def __init__(self, name: str, tools: Mapping[str, Callable[..., Any]]) -> None:
        self.name, self.tools, self.initialized = name, dict(tools), False

    def handle(self, line: str | bytes) -> str | None:
        """Reply to one message.

        Parameters
        ----------
        line : str, or bytes of UTF-8
            One JSON-RPC message.

        Returns
        -------
        str or None
            JSON on one line, without a line break: ``{"jsonrpc": "2.0", "id": …, "result": …}`` or, with the same id, ``"error": {"code",
            "message"}``. None for whatever must not be answered: notifications (no "id"), known or unknown, and answers ("result" or
            "error" instead of "method"). Codes: -32700 no JSON, or no UTF-8 (id null); -32600 no request (id null where it has no valid
            one: str or int, not bool), or tools before ``initialize``; -32601 unknown method; -32602 bad params, unknown tool; -32603
            anything unexpected, such as a tool's result that JSON lacks.
        """
        request_id = None
        try:
            message = self._parse(line)
            if isinstance(message, dict) and "method" not in message and ("result" in message or "error" in message):
                return None
            if isinstance(message, dict) and type(message.get("id")) in (str, int):
                request_id = message["id"]
            method, params = self._request(message)
            if "id" not in message:
                return None
            reply = {"result": self._dispatch(method, params)}
            return json.dumps({"jsonrpc": "2.0", "id": request_id, **reply})
        except RPCError as error:
            code, text = error.code, error.message
        except Exception as error:  # the server has to outlive its own mistakes
            code, text = INTERNAL_ERROR, f"internal error: {type(error).__name__}: {error}"
        return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": text}})

    def _parse(self, line: str | bytes) -> Any:
        try:
            return json.loads(line.decode("utf-8") if isinstance(line, bytes) else line)
        except (ValueError, RecursionError) as error:
            raise RPCError(PARSE_ERROR, f"not JSON: {error}") from error

    def _request(self, message: Any) -> tuple[str, Any]:
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
            raise RPCError(INVALID_REQUEST, 'a request is an object with "jsonrpc": "2.0" and a "method"')
        if "id" in message and type(message["id"]) not in (str, int):
            raise RPCError(INVALID_REQUEST, "id must be a string or an integer")
        return message["method"], message.get("params", {})

    def _dispatch(self, method: str, params: Any) -> dict[str, Any]:
        methods = {"initialize": self._initialize, "ping": lambda _: {}, "tools/list": self._list, "tools/call": self._call}
        if method not in methods:
            raise RPCError(METHOD_NOT_FOUND, f"there is no method {method!r}")
        if not isinstance(params, dict):
            raise RPCError(INVALID_PARAMS, "params must be an object")
        if method.startswith("tools/") and not self.initialized:
            raise RPCError(INVALID_REQUEST, "send initialize first")
        return methods[method](params)

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        asked = params.get("protocolVersion")
        if not isinstance(asked, str):
            raise RPCError(INVALID_PARAMS, "initialize needs a protocolVersion")
        self.initialized = True
        agreed = asked if asked in PROTOCOL_VERSIONS else PROTOCOL_VERSIONS[0]
        return {"protocolVersion": agreed, "capabilities": {"tools": {}}, "serverInfo": {"name": self.name, "version": "1.0"}}

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        described = {name: describe(tool) for name, tool in self.tools.items()}
        return {"tools": [{"name": name, "description": d["description"], "inputSchema": d["parameters"]} for name, d in described.items()]}

    def _call(self, params: dict[str, Any]) -> dict[str, Any]:
        name, arguments = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str) or name not in self.tools:
            raise RPCError(INVALID_PARAMS, f"unknown tool: {name!r}")
        if not isinstance(arguments, dict):
            raise RPCError(INVALID_PARAMS, "arguments must be an object")
        try:
            jsonschema.validate(arguments, describe(self.tools[name])["parameters"])
            result = self.tools[name](**arguments)
        except jsonschema.ValidationError as error:
            return _content(f"the arguments do not fit: {error.message}", True)
        except Exception as error:  # whatever a tool raises is news for the model
            return _content(f"{type(error).__name__}: {error}", True)
        return _content(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, allow_nan=False), False)


def _content(text: str, is_error: bool) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": is_error}


def serve(server: MCPServer, reader: Any, writer: Any) -> None:
    """Answer every line of `reader` on `writer` until the reader ends.

    Parameters
    ----------
    server : has ``handle(line)``
    reader : iterable of lines, str or bytes; blank ones are skipped
    writer : text stream; each reply is written with a line break and flushed at once
    """
    for line in reader:
        if line.strip():
            reply = server.handle(line)
            if reply is not None:
                writer.write(reply + "\n")
                writer.flush()


def serve_stdio(server: MCPServer, loop: Callable[[MCPServer, Any, Any], None] = serve) -> None:
    """Serve on standard input and output. What a tool prints goes to standard error: on standard output it would break the protocol."""
    writer: TextIO = open(1, "w", encoding="utf-8", newline="\n", closefd=False)  # noqa: SIM115
    with writer, contextlib.redirect_stdout(sys.stderr):
        loop(server, sys.stdin.buffer, writer)


class MCPClient:
    """Talks to one server over two text streams.

    Parameters
    ----------
    reader : ``readline()`` gives the server's next line, "" at its end
    writer : ``write(text)`` and ``flush()``
    name : str, told to the server
    """

    def __init__(self, reader: Any, writer: Any, name: str = "aieng") -> None:
        self.reader, self.writer, self.name, self._last_id = reader, writer, name, 0

    def initialize(self) -> dict[str, Any]:
        """The handshake: ask with the newest revision, check the answer's, confirm with notifications/initialized.

        Returns
        -------
        dict
            The server's result: protocolVersion, capabilities, serverInfo.

        Raises
        ------
        ValueError
            The server wants a revision that is not in PROTOCOL_VERSIONS; nothing is confirmed then.
        """
        result = self.request("initialize", {"protocolVersion": PROTOCOL_VERSIONS[0], "capabilities": {},
                                             "clientInfo": {"name": self.name, "version": "1.0"}})
        if result["protocolVersion"] not in PROTOCOL_VERSIONS:
            raise ValueError(f"the server speaks {result['protocolVersion']}; this client knows {', '.join(PROTOCOL_VERSIONS)}")
        self._send({"method": "notifications/initialized"})
        return result

    def list_tools(self) -> list[dict[str, Any]]:
        """All tools, page by page while the answer has a nextCursor."""
        tools: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.request("tools/list", {} if cursor is None else {"cursor": cursor})
            tools += page["tools"]
            cursor = page.get("nextCursor")
            if cursor is None:
                return tools

    def call_tool(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """Call a tool: the texts of its content, joined by line breaks, and whether it is an error."""
        result = self.request("tools/call", {"name": name, "arguments": arguments})
        text = "\n".join(part["text"] for part in result["content"] if part["type"] == "text")
        return text, bool(result.get("isError", False))

    def request(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request with a fresh id and read until its answer.

        On the way notifications and answers to other ids are passed over; the server's own requests are answered: "ping" with {}, all
        others with error -32601.

        Raises
        ------
        RPCError
            The answer is an error.
        ConnectionError
            The server's lines end before the answer.
        """
        self._last_id += 1
        self._send({"id": self._last_id, "method": method, "params": params or {}})
        while line := self.reader.readline():
            message = json.loads(line)
            if "method" in message:
                if "id" in message:
                    refusal = {"error": {"code": METHOD_NOT_FOUND, "message": f"there is no method {message['method']!r}"}}
                    self._send({"id": message["id"], **({"result": {}} if message["method"] == "ping" else refusal)})
            elif message.get("id") == self._last_id:
                if "error" in message:
                    raise RPCError(message["error"]["code"], message["error"]["message"])
                return message["result"]
        raise ConnectionError(f"the server ended before it answered {method}")

    def _send(self, message: dict[str, Any]) -> None:
        self.writer.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.writer.flush()
