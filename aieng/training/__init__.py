"""Training: the loop, the losses of language modelling and instruction tuning, and learning from preferences."""
