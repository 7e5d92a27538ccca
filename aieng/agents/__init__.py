"""Agents and what they stand on: prompts, context within a budget, the Model Context Protocol, the ReAct loop, memory."""
