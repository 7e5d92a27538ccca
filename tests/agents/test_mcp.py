"""The protocol by hand against the official SDK: its client with our server and the reverse, in memory and over real pipes."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from mcp_types import jsonrpc_message_adapter
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from aieng.agents.mcp import PROTOCOL_VERSIONS, MCPClient, MCPServer, RPCError, serve
from aieng.agents.mcp_sdk import sdk_client, sdk_client_over_stdio, sdk_server, sdk_server_meets
from aieng.agents.travel import TravelDesk
from aieng.lesson.exercises.mcp_partners import KIT, Noisy, nowhere, strange

ROOT = Path(__file__).resolve().parents[2]
CALLS = [("scale", {"x": 2}), ("scale", {"x": "2"}), ("fragile", {"n": 3}), ("nothing", {}), ("echo", {"words": ["ü", "\u2028"]})]


def ready(tools=KIT):
    server = MCPServer("kit", tools)
    server.handle('{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}')
    return server


def call(server, message):
    reply = server.handle(message if isinstance(message, str | bytes) else json.dumps(message))
    return None if reply is None else json.loads(reply)


def test_our_revisions_are_the_sdks_handshake_revisions():
    assert tuple(reversed(HANDSHAKE_PROTOCOL_VERSIONS)) == PROTOCOL_VERSIONS


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_sdk_client_in_memory(mode):
    talk = sdk_client(MCPServer("kit", KIT).handle, CALLS, mode)
    assert (talk.protocol_version, talk.server_name, set(talk.tools)) == ("2025-11-25", "kit", set(KIT))
    assert json.loads(talk.results[0][0]) == {"label": None, "value": 6} and not talk.results[0][1]
    assert talk.results[1][1] and "'2'" in talk.results[1][0]
    assert talk.results[2] == ("ValueError: 3 is odd", True) and talk.results[3] == -32602 and talk.results[4] == ("ü\n\u2028", False)
    methods = [json.loads(line).get("method") for sender, line in talk.lines if sender == "client"]
    assert methods[0] == ("server/discover" if mode == "auto" else "initialize") and "notifications/initialized" in methods
    for _, line in talk.lines:
        jsonrpc_message_adapter.validate_json(line, by_name=False)


def test_our_client_with_the_sdks_server_in_memory():
    got = sdk_server_meets(MCPClient, sdk_server("official", KIT), [*CALLS, ("method:none", {})])
    assert got.hello["serverInfo"]["name"] == "official" and {t["name"] for t in got.tools} == set(KIT)
    assert json.loads(got.results[0][0])["value"] == 6 and got.results[2][1] is True
    assert json.loads(got.results[1][0])["value"] == 6  # the SDK reads "2" as a number where one is wanted
    assert got.results[4] == ("ü\n\u2028", False) and got.results[5] == -32601


def test_our_client_with_the_sdks_server_over_stdio():
    with subprocess.Popen([sys.executable, "-m", "aieng.agents.travel_server", "sdk"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, encoding="utf-8", cwd=ROOT) as process:
        client = MCPClient(process.stdout, process.stdin)
        assert client.initialize()["protocolVersion"] == "2025-11-25"
        assert {t["name"] for t in client.list_tools()} == set(TravelDesk(0).tools)
        assert client.call_tool("next_date", {"weekday": "Friday"}) == ("2026-03-06", False)
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_sdk_client_over_stdio_and_what_tools_print_stays_out_of_the_protocol(tmp_path):
    program = tmp_path / "server.py"
    program.write_text("from aieng.agents.mcp import MCPServer, serve_stdio\n"
                       "from aieng.agents.travel import TravelDesk\n"
                       'def shout() -> str:\n    "Say it."\n    print("{not json")\n    return "ok"\n'
                       'serve_stdio(MCPServer("loud", TravelDesk(0).tools | {"shout": shout}))\n')
    talk = sdk_client_over_stdio([str(program)], [("shout", {}), ("next_date", {"weekday": "Friday"})], cwd=str(ROOT))
    assert set(talk.tools) == {*TravelDesk(0).tools, "shout"} and talk.results == [("ok", False), ("2026-03-06", False)]


@pytest.mark.parametrize(("line", "code", "request_id"), [
    ("{", -32700, None), ("", -32700, None), (b"\xff", -32700, None), ("[" * 100_000, -32700, None), ("[]", -32600, None),
    ("{}", -32600, None),
    ('{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600, None), ('{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600, None),
    ('{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', -32600, None), ('{"id": "a", "method": "ping"}', -32600, "a"),
    ('{"jsonrpc": "2.0", "id": 1, "method": "nothing"}', -32601, 1),
    ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": []}', -32602, 1),
    ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": []}}', -32602, 1),
    ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": 3}}', -32602, 1),
    ('{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}', -32602, 1),
])
def test_errors_by_number(line, code, request_id):
    got = call(ready(), line)
    assert (got["error"]["code"], got["id"]) == (code, request_id)


def test_before_initialize_and_never_answered():
    fresh = MCPServer("kit", KIT)
    assert call(fresh, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})["error"]["code"] == -32600
    assert call(fresh, {"jsonrpc": "2.0", "id": 1, "method": "ping"})["result"] == {}
    for message in ({"method": "x"}, {"method": "ping"}, {"id": 1, "result": {}}, {"id": 1, "error": {}}):
        assert call(fresh, {"jsonrpc": "2.0"} | message) is None
    old = call(fresh, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2024-11-05"}})
    assert old["result"]["protocolVersion"] == "2024-11-05"


@pytest.mark.parametrize("tool", [strange, nowhere])
def test_a_result_that_json_lacks_is_the_servers_fault(tool):
    got = call(ready({"t": tool}), {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t"}})
    assert got["error"]["code"] == -32603


def test_garbage_never_stops_the_server():
    server, rng = ready(), random.Random(1)
    whole = json.dumps({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "echo", "arguments": {"words": ["x"]}}})
    for _ in range(500):
        text = list(whole)
        for _ in range(rng.randrange(1, 8)):
            text[rng.randrange(len(text))] = rng.choice('{}[]",:0ax é\n')
        reply = server.handle("".join(text))
        if reply is not None and json.loads(reply)["id"] is not None:
            jsonrpc_message_adapter.validate_json(reply, by_name=False)
    assert call(server, whole)["result"]["content"][0]["text"] == "x"


def test_loop():
    out = io.StringIO()
    lines = b'\n{"jsonrpc": "2.0", "id": 1, "method": "ping"}\r\n{"jsonrpc": "2.0", "method": "x"}\n{'
    serve(MCPServer("kit", KIT), io.BytesIO(lines), out)
    assert [json.loads(line)["id"] for line in out.getvalue().splitlines()] == [1, None]


@pytest.mark.parametrize("seed", range(8))
def test_client_waits_for_its_own_answer(seed):
    noise = Noisy(seed)
    client = MCPClient(noise, noise)
    for _ in range(5):
        asked = len(noise.got) + 1
        assert client.request("thing") == {"n": asked}
    assert all(("result" in m) != ("error" in m) for m in noise.got if "method" not in m)


def test_client_errors():
    silent = io.StringIO()
    with pytest.raises(ConnectionError, match="before it answered ping"):
        MCPClient(io.StringIO(), silent).request("ping")
    refused = io.StringIO('{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no"}}\n')
    with pytest.raises(RPCError, match=r"no \(-32601\)") as caught:
        MCPClient(refused, silent).request("ping")
    assert caught.value.code == -32601
    strange_revision = io.StringIO('{"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "1999-01-01"}}\n')
    with pytest.raises(ValueError, match="1999-01-01"):
        MCPClient(strange_revision, silent).initialize()
