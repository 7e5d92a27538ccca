"""Reasoning: chains of thought, verifiers of their steps, tools, and search over trees of thoughts."""
