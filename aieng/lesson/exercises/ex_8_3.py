"""8.3 The Model Context Protocol: visible properties and hints."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from aieng.lesson.checking import CheckFailed, expect, expect_raises, hints, prop

hints(
    "8.3",
    "Server: three questions in this order. Is the line JSON? Is it a request (an object, \"jsonrpc\": \"2.0\", a method that is a text, "
    "an id "
    "that is a text or an integer)? Does it have an id at all? Only what has one is answered. Client: count the ids up, write the line, "
    "then "
    "read lines until the one with your id.",
    "Write `answer(method, params)` so that it returns a result or raises `RPCError(code, message)`; then `handle` is one try with two "
    "excepts: RPCError gives its own code, any other exception -32603. A tool that raises is no exception for the protocol: its text goes "
    "into a result with isError true. In the client, a message with a \"method\" is never the answer: without an id pass over it, with an "
    "id answer it.",
    "handle: request_id = None → parse (-32700) → an answer? None → remember a valid id → check the form (-32600) → no \"id\"? None → "
    "result = answer(method, params) → one line of JSON. Errors become {\"error\": {code, message}} with request_id.\n"
    "answer: unknown method → -32601; params no object → -32602; tools before initialize → -32600; then by method.\n"
    "call_tool: name unknown or arguments no object → -32602; validate and run inside try; ValidationError or Exception → text, isError "
    "True.\n"
    "request: id += 1; write; loop over readline(): \"\" → ConnectionError; a method with an id → answer ping, refuse others; my id → "
    "error? "
    "raise : return result.",
)


def add(a: int, b: int = 2) -> int:
    """Add two whole numbers.

    a: the first
    """
    return a + b


def price(flight: str) -> str:
    """The price of a flight."""
    if flight != "AX100":
        raise KeyError(f"no flight {flight}")
    return "$420 – as of today"


def endless(n: float) -> float:
    """Divide by next to nothing."""
    return n * float("inf")


TOOLS: dict[str, Callable[..., Any]] = {"add": add, "price": price, "endless": endless}
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "check", "version": "1"}}


def say(server: Any, message: Any) -> Any:
    """Give a server one message (an object, or a line as it is) and read its reply; None where there is none."""
    line = message if isinstance(message, str | bytes) else json.dumps(message)
    reply = server.handle(line)
    if reply is None:
        return None
    expect(isinstance(reply, str), f"handle returns a line of text or None; for {line!r} yours gave a {type(reply).__name__}.")
    expect("\n" not in reply and "\r" not in reply, f"A reply is one line without a line break (the loop adds it); yours is {reply!r}.")
    try:
        return json.loads(reply)
    except ValueError as error:
        raise CheckFailed(f"The reply to {line!r} is no JSON: {reply!r} ({error}).") from error


def ask(server: Any, method: str, params: Any = None, request_id: Any = 1) -> Any:
    """Send a request; the reply has to be there and carry the id."""
    message = {"jsonrpc": "2.0", "id": request_id, "method": method} | ({} if params is None else {"params": params})
    reply = say(server, message)
    expect(reply is not None, f"The request {method!r} with id {request_id!r} got no reply; every request gets one.")
    expect(isinstance(reply, dict) and reply.get("jsonrpc") == "2.0", f'A reply is an object with "jsonrpc": "2.0"; yours is {reply!r}.')
    expect("id" in reply and reply["id"] == request_id and type(reply["id"]) is type(request_id),
           f"The reply repeats the request's id, {request_id!r}; yours has {reply.get('id', 'none')!r}: the client could not tell whose "
           "it is.")
    expect(("result" in reply) != ("error" in reply), f"A reply has a result or an error, not both and not neither; yours is {reply!r}.")
    return reply


def result_of(server: Any, method: str, params: Any = None) -> Any:
    """The result of a request that must succeed."""
    reply = ask(server, method, params)
    expect("result" in reply, f"{method} with {params!r} should succeed; it gave {reply.get('error')!r}.")
    return reply["result"]


def code_of(reply: Any, what: str, want: int) -> None:
    """Expect an error reply with this code and a message."""
    expect(isinstance(reply, dict) and isinstance(reply.get("error"), dict), f"{what} should give an error; yours gave {reply!r}.")
    got = reply["error"].get("code")
    expect(got == want and isinstance(got, int), f"{what} has the code {want}; yours has {got!r}.")
    expect(isinstance(reply["error"].get("message"), str), f"An error has a message, a text; yours is {reply['error']!r}.")


def ready(server: Any) -> Any:
    """A server that was initialized."""
    mine = server("check", TOOLS)
    result_of(mine, "initialize", HELLO)
    say(mine, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    return mine


@prop("8.3", "server: initialize agrees on a revision")
def handshake(server: Any, serve: Any, client: Any) -> None:
    for asked, want in (("2025-06-18", "2025-06-18"), ("2024-11-05", "2024-11-05"), ("2025-11-25", "2025-11-25"),
                        ("1999-01-01", "2025-11-25")):
        result = result_of(server("shop", TOOLS), "initialize", HELLO | {"protocolVersion": asked})
        got = result.get("protocolVersion")
        expect(got == want, f"Asked for {asked}, the server answers {want} "
                            f"({'which it knows' if asked == want else 'its newest, because it does not know the other'}); "
                            f"yours says {got!r}.")
        expect("tools" in result.get("capabilities", {}), 'capabilities must name "tools", or clients never ask for them; yours: '
                                                          f'{result!r}.')
        expect(result.get("serverInfo", {}).get("name") == "shop" and isinstance(result["serverInfo"].get("version"), str),
               f"serverInfo has the server's name, 'shop', and a version; yours is {result.get('serverInfo')!r}.")
    code_of(ask(server("shop", TOOLS), "initialize", {}), "initialize without a protocolVersion", -32602)


@prop("8.3", "server: who gets a reply, and with which id")
def replies(server: Any, serve: Any, client: Any) -> None:
    mine = ready(server)
    for request_id in (7, 0, "seven", "", -3):
        expect(ask(mine, "ping", None, request_id)["result"] == {}, "ping is answered with an empty object, {}.")
    for message in ({"method": "notifications/initialized"}, {"method": "notifications/cancelled", "params": {"requestId": 3}},
                    {"method": "never/heard"}, {"method": "tools/call", "params": {"name": "nobody"}}):
        got = say(mine, {"jsonrpc": "2.0"} | message)
        expect(got is None, f"{message['method']!r} without an id is a notification: no reply, not even an error. Yours sent {got!r}.")
    got = say(mine, {"jsonrpc": "2.0", "id": 4, "result": {}})
    expect(got is None, f'A message with "result" is itself an answer; answering it goes on for ever. Yours sent {got!r}.')
    expect(say(mine, json.dumps({"jsonrpc": "2.0", "id": "ü", "method": "ping"}).encode())["id"] == "ü", "A line may come as bytes of "
                                                                                                         "UTF-8.")


@prop("8.3", "server: errors by number")
def errors(server: Any, serve: Any, client: Any) -> None:
    mine = ready(server)
    for line in ('{"jsonrpc": "2.0", "id": 1, "method": ', "hello", b"\xff\xfe"):
        got = say(mine, line)
        code_of(got, f"The line {line!r}, which is no JSON,", -32700)
        expect(got.get("id", 0) is None, f"Nobody can know the id of a line that is no JSON: it is null. Yours: {got!r}.")
    no_requests: list[Any] = [
        [], 3, {"id": 5, "method": "ping"}, {"jsonrpc": "1.0", "id": 5, "method": "ping"}, {"jsonrpc": "2.0", "id": 5},
        {"jsonrpc": "2.0", "id": 5, "method": 7}, {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": True, "method": "ping"}, {"jsonrpc": "2.0", "id": [1], "method": "ping"}]
    for message in no_requests:
        got = say(mine, message)
        code_of(got, f"{json.dumps(message)}, JSON but no request,", -32600)
        want = 5 if isinstance(message, dict) and message.get("id") == 5 else None
        expect("id" in got and got["id"] == want and got["id"] is not True,
               f"{json.dumps(message)}: the error's id is {json.dumps(want)}; yours is {got.get('id', 'missing')!r}.")
    code_of(ask(mine, "server/discover", {}), "An unknown method", -32601)
    code_of(ask(server("new", TOOLS), "server/discover", {}), "An unknown method, also before initialize,", -32601)
    code_of(ask(mine, "tools/call", ["add"]), "params that are a list", -32602)
    code_of(ask(server("new", TOOLS), "tools/list"), "tools/list before initialize", -32600)
    code_of(ask(mine, "tools/call", {"name": "nobody", "arguments": {}}), "An unknown tool", -32602)
    code_of(ask(mine, "tools/call", {"arguments": {}}), "A call without a name", -32602)
    code_of(ask(mine, "tools/call", {"name": ["add"]}), "A call whose name is a list", -32602)
    code_of(ask(mine, "tools/call", {"name": "add", "arguments": [1, 2]}), "A call whose arguments are a list", -32602)
    code_of(ask(mine, "tools/call", {"name": "endless", "arguments": {"n": 1}}), "A tool's result that JSON has no word for "
                                                                                 "(infinity)", -32603)
    expect(ask(mine, "ping")["result"] == {}, "After all these errors the server should still answer a ping.")


@prop("8.3", "server: tools listed and called")
def tools(server: Any, serve: Any, client: Any) -> None:
    mine = ready(server)
    listed = result_of(mine, "tools/list").get("tools")
    expect(isinstance(listed, list) and [t.get("name") for t in listed] == list(TOOLS), f"tools/list names {list(TOOLS)}; yours: "
                                                                                        f"{listed!r}.")
    first = listed[0]
    expect("inputSchema" in first, f"A tool's schema stands under inputSchema (`describe` calls it parameters); yours has {sorted(first)}.")
    expect(first["inputSchema"].get("required") == ["a"] and first.get("description") == "Add two whole numbers.",
           f"Name, description and schema come from `describe`; yours is {first!r}.")
    for name, arguments, want in (("add", {"a": 1}, "3"), ("add", {"a": -4, "b": 4}, "0"), ("price", {"flight": "AX100"}, "$420 – as of "
                                                                                                                          "today")):
        got = result_of(mine, "tools/call", {"name": name, "arguments": arguments})
        expect(isinstance(got.get("content"), list) and len(got["content"]) == 1 and got["content"][0].get("type") == "text",
               f'content is a list of one {{"type": "text", "text": …}}; yours is {got!r}.')
        expect(got["content"][0].get("text") == want, f"{name} with {arguments} gives the text {want!r} (a text as it is, all else as "
                                                      "JSON); "
                                                      f"yours is {got['content'][0].get('text')!r}.")
        expect(got.get("isError", False) is False, f"{name} worked, and isError is {got.get('isError')!r}.")


@prop("8.3", "server: a tool's failure is a result")
def failures(server: Any, serve: Any, client: Any) -> None:
    mine = ready(server)
    for name, arguments, why in (("price", {"flight": "ZZ9"}, "raises KeyError"), ("add", {"a": "one"}, "gets a text for a number"),
                                 ("add", {}, "lacks an argument"), ("add", {"a": 1, "c": 3}, "gets an argument too many")):
        reply = ask(mine, "tools/call", {"name": name, "arguments": arguments})
        expect("error" not in reply, f"A call that {why} should be a result with isError true, which the model can read and mend; yours "
                                     "is the "
                                     f"protocol error {reply.get('error')!r}, which stays with the program.")
        got = reply["result"]
        expect(got.get("isError") is True, f"A call that {why} has isError true; yours has {got.get('isError')!r}.")
        text = got["content"][0]["text"]
        expect(name != "price" or "ZZ9" in text, f"The text says what went wrong (the exception's own words); yours is {text!r}.")
        expect(bool(text), "The text of a failed call is empty; the model learns nothing from it.")


class Pen:
    """A writer that notes what was written, and whether it was sent off with flush()."""

    def __init__(self) -> None:
        self.text, self.sent = "", ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        self.sent = self.text


@prop("8.3", "the loop: a line in, a line out")
def loop(server: Any, serve: Any, client: Any) -> None:
    pen = Pen()

    class Lines:
        """Lines that come one by one; each time the replies so far must be out."""

        def __init__(self, lines: list[Any]) -> None:
            self.lines, self.due = deque(lines), 0

        def __iter__(self) -> Lines:
            return self

        def __next__(self) -> Any:
            expect(pen.sent.count("\n") == self.due, f"Before the next line is read, {self.due} replies must be written, each with a "
                                                     "line break, "
                                                     f"and flushed; {pen.sent.count(chr(10))} are out ({pen.text.count(chr(10))} written).")
            if not self.lines:
                raise StopIteration
            line, replies = self.lines.popleft()
            self.due += replies
            return line

        def readline(self) -> Any:
            try:
                return next(self)
            except StopIteration:
                return ""

    ping = '{"jsonrpc": "2.0", "id": %d, "method": "ping"}\n'
    serve(server("loop", TOOLS), Lines([(ping % 1, 1), ("\n", 0), ('{"jsonrpc": "2.0", "method": "x"}\n', 0), ((ping % 2).encode(), 1),
                                        ("oops\n", 1), ("  \n", 0), (ping % 3, 1)]), pen)
    got = [json.loads(line).get("id") for line in pen.sent.splitlines()]
    expect(got == [1, 2, None, 3], "Replies to 1, 2, a broken line (null) and 3 were due, blank lines passed over; yours have the ids "
                                   f"{got}.")


class Script:
    """Both streams of a client; the server says what `reply` returns for each message that the client writes."""

    def __init__(self, reply: Callable[[dict[str, Any]], list[Any]]) -> None:
        self.reply, self.sent, self.waiting, self.unsent = reply, list[dict[str, Any]](), deque[str](), ""

    def write(self, text: str) -> int:
        self.unsent += text
        return len(text)

    def flush(self) -> None:
        *lines, self.unsent = self.unsent.split("\n")
        for line in lines:
            message = json.loads(line)
            expect(message.get("jsonrpc") == "2.0", f'Each message of the client has "jsonrpc": "2.0"; this one lacks it: {line}')
            self.sent.append(message)
            self.waiting.extend(json.dumps({"jsonrpc": "2.0"} | m) + "\n" for m in self.reply(message))

    def readline(self) -> str:
        expect(not self.unsent, f"The client reads although {self.unsent[:60]!r} has no line break or was not flushed: the server never "
                                "got it.")
        return self.waiting.popleft() if self.waiting else ""


def usual(message: dict[str, Any]) -> list[Any]:
    """A plain server's answers."""
    if "id" not in message:
        return []
    made = {"initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}},
            "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": "ok"}]}}
    return [{"id": message["id"], "result": made.get(message.get("method", ""), {})}]


@prop("8.3", "client: the handshake")
def client_handshake(server: Any, serve: Any, client: Any) -> None:
    wire = Script(usual)
    result = client(wire, wire, "tester").initialize()
    expect(isinstance(result, dict) and result.get("protocolVersion") == "2025-06-18", "initialize returns the server's result; yours "
                                                                                       f"gave {result!r}.")
    expect(len(wire.sent) == 2, f"A handshake is two messages of the client; yours sent {[m.get('method') for m in wire.sent]}.")
    first, second = wire.sent
    params = first.get("params", {})
    expect(first.get("method") == "initialize" and params.get("protocolVersion") == "2025-11-25" and "capabilities" in params,
           f"The client begins with initialize, its newest revision 2025-11-25 and its capabilities; yours sent {first!r}.")
    expect(params.get("clientInfo", {}).get("name") == "tester" and "version" in params["clientInfo"], "clientInfo has name and "
                                                                                                       f"version: {first!r}.")
    expect(second.get("method") == "notifications/initialized" and "id" not in second,
           f"The second message is the notification notifications/initialized, without an id; yours is {second!r}.")
    old = {"protocolVersion": "1999-01-01", "capabilities": {}, "serverInfo": {}}
    wire = Script(lambda m: [{"id": m["id"], "result": old}] if "id" in m else [])
    expect_raises(ValueError, client(wire, wire).initialize, "A server that insists on a revision nobody knows should raise ValueError.")
    expect(len(wire.sent) == 1, "The revision was not agreed, and the client confirmed it all the same.")


@prop("8.3", "client: reads until its own answer")
def patience(server: Any, serve: Any, client: Any) -> None:
    def chatty(message: dict[str, Any]) -> list[Any]:
        if message.get("method") != "tools/call":
            return usual(message)
        return [{"method": "notifications/message", "params": {"data": "working"}}, {"id": "q", "method": "ping"},
                {"id": message["id"], "method": "sampling/createMessage"},
                {"id": 999, "result": {"content": [{"type": "text", "text": "stale"}]}},
                *usual(message)]

    wire = Script(chatty)
    mine = client(wire, wire)
    mine.initialize()
    got = mine.call_tool("t", {"x": 1})
    expect(got == ("ok", False), "Before the answer came a notification, a ping, another request and an answer to somebody else; the "
                                 "answer is "
                                 f"('ok', False), and yours is {got!r}.")
    sent = {json.dumps(m.get("id")): m for m in wire.sent if "method" not in m}
    expect(sent.get('"q"', {}).get("result") == {}, f'The server\'s ping with id "q" is answered with the result {{}}; yours sent '
                                                    f'{list(sent.values())}.')
    other = [m for m in wire.sent if "method" not in m and m.get("id") != "q"]
    expect(len(other) == 1 and other[0].get("error", {}).get("code") == -32601,
           f"The server's request sampling/createMessage is refused with -32601; yours sent {other}.")
    ids = [m["id"] for m in wire.sent if "method" in m and "id" in m]
    expect(len(set(ids)) == len(ids), f"Each request needs an id of its own; yours are {ids}.")
    wire = Script(lambda m: [])
    expect_raises(ConnectionError, lambda: client(wire, wire).request("ping"), "A server that ends without an answer should raise "
                                                                               "ConnectionError.")


@prop("8.3", "client: pages, errors, content")
def client_results(server: Any, serve: Any, client: Any) -> None:
    def paged(message: dict[str, Any]) -> list[Any]:
        if message.get("method") == "tools/list":
            at = int(message.get("params", {}).get("cursor", "0"))
            return [{"id": message["id"], "result": {"tools": [{"name": f"t{at}"}]} | ({"nextCursor": str(at + 1)} if at < 3 else {})}]
        if message.get("params", {}).get("name") == "nobody":
            return [{"id": message["id"], "error": {"code": -32602, "message": "unknown tool"}}]
        picture = {"type": "image", "data": "…", "mimeType": "image/png"}
        content = [{"type": "text", "text": "one"}, picture, {"type": "text", "text": "two"}]
        return [{"id": message["id"], "result": {"content": content, "isError": True}}]

    wire = Script(paged)
    mine = client(wire, wire)
    names = [t["name"] for t in mine.list_tools()]
    expect(names == ["t0", "t1", "t2", "t3"], "The list has four pages, each but the last with a nextCursor to ask for the next; yours "
                                              f"found {names}.")
    got = mine.call_tool("t0", {})
    expect(got == ("one\ntwo", True), f"Two texts around a picture, isError true: ('one\\ntwo', True); yours is {got!r}.")
    try:
        mine.call_tool("nobody", {})
    except NotImplementedError:
        raise
    except Exception as error:
        expect(getattr(error, "code", None) == -32602, f"An error answer raises RPCError with its code, -32602; yours raised {error!r}.")
    else:
        raise CheckFailed("The server answered with error -32602, and call_tool raised nothing.")


@prop("8.3", "the two of them together")
def together(server: Any, serve: Any, client: Any) -> None:
    mine = server("both", TOOLS)
    wire = Script(lambda message: [] if (reply := mine.handle(json.dumps(message))) is None else [json.loads(reply)])
    me = client(wire, wire)
    me.initialize()
    expect([t["name"] for t in me.list_tools()] == list(TOOLS), "Your client does not find your server's tools.")
    expect(me.call_tool("add", {"a": 20, "b": 22}) == ("42", False), "add(20, 22) through both gives "
                                                                     f"{me.call_tool('add', {'a': 20, 'b': 22})!r}.")
