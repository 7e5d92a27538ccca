"""Fewer bits per weight: integers, GGUF blocks, GPTQ, NF4, and training that knows about the rounding."""
