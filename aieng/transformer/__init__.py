"""The Transformer in plain torch: attention, blocks, and the models assembled from them."""
