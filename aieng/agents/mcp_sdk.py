"""The official MCP SDK (package `mcp`) as the other side: its client for our server, its server for our client.

Each conversation has an event loop of its own, in a thread of its own where the caller may already have one (a notebook has).
"""

from __future__ import annotations

import asyncio
import functools
import sys
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
        server.add_tool(_awaitable(tool), name=tool_name)
    return server


def _awaitable(tool: Callable[..., Any]) -> Callable[..., Any]:
    """A tool as a coroutine function: the SDK runs others in threads, and a tool's database may belong to this one."""

    @functools.wraps(tool)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return tool(*args, **kwargs)

    return call


@dataclass(frozen=True)
class Answers:
    """What a client got out of the SDK's server: its result of initialize, the tools, and per call what `call_tool` returned, or a code."""

    hello: dict[str, Any]
    tools: list[dict[str, Any]]
    results: list[tuple[str, bool] | int]


def sdk_server_meets(client_class: Callable[[Any, Any], Any], server: SDKServer[Any], calls: Calls) -> Answers:
    """A client, made of two text streams, talks to an SDK server in this process.

    Parameters
    ----------
    client_class : callable, (reader, writer) to a client with initialize(), list_tools(), call_tool(name, arguments), request(method)
    server : from `sdk_server`
    calls : (tool, arguments), in order; a tool that begins with "method:" is sent as a request of that method instead
    """

    def talk() -> Answers:
        with _Stepped(server) as streams:
            client = client_class(streams, streams)
            hello, tools = client.initialize(), client.list_tools()
            results: list[tuple[str, bool] | int] = []
            for name, arguments in calls:
                try:
                    method = name.removeprefix("method:")
                    results.append(client.call_tool(name, arguments) if method == name else client.request(method, arguments))
                except Exception as error:
                    if not isinstance(code := getattr(error, "code", None), int):
                        raise
                    results.append(code)
            return Answers(hello, tools, results)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(talk).result()


class _Stepped:
    """Both text streams of a client; the server's event loop runs only while the client reads or writes, so no thread is left behind."""

    def __init__(self, server: SDKServer[Any]) -> None:
        self._lowlevel = server._lowlevel_server
        self._loop = asyncio.new_event_loop()
        self._pipes: asyncio.Future[Any] = self._loop.create_future()
        self._task = self._loop.create_task(self._serve())
        self._read, self._write = self._loop.run_until_complete(self._pipes)

    async def _serve(self) -> None:
        async with create_client_server_memory_streams() as (client_streams, (read, write)):
            self._pipes.set_result(client_streams)
            await self._lowlevel.run(read, write, self._lowlevel.create_initialization_options())

    def write(self, text: str) -> int:
        for line in text.splitlines():
            message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
            self._loop.run_until_complete(self._write.send(message))
        return len(text)

    def flush(self) -> None:
        """Every line is on its way already."""

    def readline(self) -> str:
        try:
            message = self._loop.run_until_complete(asyncio.wait_for(self._read.receive(), 3))
        except TimeoutError:
            raise TimeoutError("the server has said nothing for 3 seconds: it answers requests, one line each") from None
        return _as_line(message) + "\n"

    def __enter__(self) -> _Stepped:
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            await self._write.aclose()
            await self._task

        self._loop.run_until_complete(end())
        self._loop.close()


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
