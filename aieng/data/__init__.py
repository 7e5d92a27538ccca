"""The course's data sets: real text with its embeddings, and seeded generators."""
