"""The travel desk as an MCP server over standard input and output: ``python -m aieng.agents.travel_server sdk|hand [seed]``."""

from __future__ import annotations

import sys

from aieng.agents.travel import TravelDesk


def main(by: str, seed: int = 0) -> None:
    """Serve until the client closes its end; by "sdk" (the official SDK) or "hand" (this package's server)."""
    tools = TravelDesk(seed).tools
    if by == "sdk":
        from aieng.agents.mcp_sdk import sdk_server

        sdk_server("travel desk", tools).run("stdio")
    elif by == "hand":
        from aieng.agents.mcp import MCPServer, serve_stdio

        serve_stdio(MCPServer("travel desk", tools))
    else:
        raise ValueError(f"by is {by!r}; choose sdk or hand")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
