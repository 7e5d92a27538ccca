"""The official MCP SDK (package `mcp`) as the other side: its client for our server, its server for our client.

Each conversation has an event loop of its own, in a thread of its own where the caller may already have one (a notebook has).
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.server.mcpserver import MCPServer as SDKServer
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, jsonrpc_message_adapter

Calls = Sequence[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Conversation:
    """What the SDK's client got out of a server.

    protocol_version : str; server_name : str; tools : {name: inputSchema}
    results : per call (text, is_error), or the code (int) of a JSON-RPC error
    lines : (sender, line), sender "client" or "server"; empty over stdio
    """

    protocol_version: str
    server_name: str
    tools: dict[str, dict[str, Any]]
    results: list[tuple[str, bool] | int]
    lines: list[tuple[str, str]]


def sdk_client(handle: Callable[[str], str | None], calls: Calls, mode: str = "auto") -> Conversation:
    """The SDK's client talks to ``handle(line)`` in this process, over the SDK's memory streams.

    Parameters
    ----------
    handle : one line in, a line or None out
    calls : (tool, arguments), in order
    mode : "auto" probes for the revision of 2026-07-28 first and falls back; "legacy" begins with ``initialize``
    """
    lines: list[tuple[str, str]] = []
    return _run(_converse(_memory_transport(handle, lines), calls, mode, lines))


def sdk_client_over_stdio(arguments: Sequence[str], calls: Calls, mode: str = "auto", cwd: str | None = None) -> Conversation:
    """The SDK's client starts ``python arguments…`` and talks to it over its standard input and output."""
    server = StdioServerParameters(command=sys.executable, args=list(arguments), cwd=cwd)
    return _run(_converse(server, calls, mode, []))


def sdk_server(name: str, tools: Mapping[str, Callable[..., Any]]) -> SDKServer[Any]:
    """A server made with the SDK that offers these functions."""
    server: SDKServer[Any] = SDKServer(name, log_level="CRITICAL")
    for tool_name, tool in tools.items():
        server.add_tool(tool, name=tool_name)
    return server


class SDKServerStreams:
    """An SDK server in a thread, behind the two text streams of a client: ``readline()``, ``write(text)``, ``flush()``.

    Use it as a context manager; its end is the end of the client's input.
    """

    def __init__(self, server: SDKServer[Any]) -> None:
        self._server = server
        self._to_client: queue.Queue[str] = queue.Queue()
        self._to_server: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=lambda: anyio.run(self._serve), daemon=True)
        self._thread.start()

    def readline(self) -> str:
        try:
            return self._to_client.get(timeout=3)
        except queue.Empty:
            raise TimeoutError("the server has said nothing for 3 seconds: it answers requests, one line each") from None

    def write(self, text: str) -> int:
        self._to_server.put(text)
        return len(text)

    def flush(self) -> None:
        """Every line is on its way already."""

    def close(self) -> None:
        self._to_server.put(None)
        self._thread.join(timeout=10)

    def __enter__(self) -> SDKServerStreams:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _serve(self) -> None:
        lowlevel = self._server._lowlevel_server
        async with create_client_server_memory_streams() as ((read, write), (server_read, server_write)), anyio.create_task_group() as tasks:

            async def outwards() -> None:
                async for message in read:
                    if isinstance(message, SessionMessage):
                        self._to_client.put(_as_line(message) + "\n")

            async def inwards() -> None:
                while (line := await anyio.to_thread.run_sync(self._to_server.get)) is not None:
                    await write.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
                await write.aclose()

            tasks.start_soon(outwards)
            tasks.start_soon(inwards)
            await lowlevel.run(server_read, server_write, lowlevel.create_initialization_options())
            self._to_client.put("")
            tasks.cancel_scope.cancel()


def _as_line(message: SessionMessage) -> str:
    return message.message.model_dump_json(by_alias=True, exclude_unset=True)


@asynccontextmanager
async def _memory_transport(handle: Callable[[str], str | None], lines: list[tuple[str, str]]) -> AsyncIterator[Any]:
    async with create_client_server_memory_streams() as (client_streams, (server_read, server_write)), anyio.create_task_group() as tasks:

        async def answer() -> None:
            async for message in server_read:
                if isinstance(message, SessionMessage):
                    line = _as_line(message)
                    lines.append(("client", line))
                    reply = handle(line)
                    if reply is None and isinstance(message.message, JSONRPCRequest):
                        raise ValueError(f"no reply to the request {line}")
                    if reply is not None:
                        lines.append(("server", reply))
                        await server_write.send(SessionMessage(jsonrpc_message_adapter.validate_json(reply, by_name=False)))

        tasks.start_soon(answer)
        yield client_streams
        await client_streams[1].aclose()
        tasks.cancel_scope.cancel()


async def _converse(server: AbstractAsyncContextManager[Any] | StdioServerParameters, calls: Calls, mode: str,
                    lines: list[tuple[str, str]]) -> Conversation:
    async with Client(server, mode=mode, read_timeout_seconds=10) as client:
        tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        results: list[tuple[str, bool] | int] = []
        for name, arguments in calls:
            try:
                result = await client.call_tool(name, arguments)
            except MCPError as error:
                results.append(error.error.code)
            else:
                results.append(("\n".join(getattr(part, "text", "") for part in result.content), bool(result.is_error)))
        info = client.server_info
        return Conversation(client.protocol_version, "" if info is None else info.name, tools, results, lines)


def _run(conversation: Coroutine[Any, Any, Conversation]) -> Conversation:
    async def main() -> Conversation:
        return await conversation

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, main).result()
