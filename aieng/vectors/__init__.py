"""Vectors: distances, compression, indexes, a search engine and vector databases."""
