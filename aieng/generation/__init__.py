"""From logits to text: choosing tokens, one after the other or several at a time."""
