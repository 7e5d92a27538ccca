"""Real models: verified weight files and the plain-torch models that run on them."""
