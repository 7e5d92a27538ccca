import json

import jsonschema

from aieng.agents.mcp import PROTOCOL_VERSIONS, RPCError  # newest revision first; RPCError(code, message)
from aieng.reasoning.tools import describe


class MCPServer:

    def __init__(self, name, tools):
        self.name, self.tools, self.initialized = name, dict(tools), False

    def handle(self, line):
        raise NotImplementedError()

    def answer(self, method, params):
        raise NotImplementedError()

    def call_tool(self, params):
        raise NotImplementedError()


def serve(server, reader, writer):
    raise NotImplementedError()


class MCPClient:

    def __init__(self, reader, writer, name="learner"):
        self.reader, self.writer, self.name, self.last_id = reader, writer, name, 0

    def request(self, method, params=None):
        raise NotImplementedError()

    def initialize(self):
        raise NotImplementedError()

    def list_tools(self):
        raise NotImplementedError()

    def call_tool(self, name, arguments):
        raise NotImplementedError()

