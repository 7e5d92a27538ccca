# The last place is never used.
class KVCache:

    def __init__(self, num_layers, batch, num_key_value_heads, head_dim, capacity, dtype=torch.float32):
        self.num_layers, self.capacity, self.length = num_layers, capacity, 0
        self.keys = torch.zeros(num_layers, batch, num_key_value_heads, capacity, head_dim, dtype=dtype)
        self.values = torch.zeros_like(self.keys)

    @property
    def nbytes(self):
        return self.keys.nbytes + self.values.nbytes

    def append(self, layer, k, v):
        layers, batch, heads, capacity, head_dim = self.keys.shape
        if not 0 <= layer < layers:
            raise ValueError(f"layer {layer} of a cache with {layers} layers")
        tokens = k.shape[2]
        if k.shape != (batch, heads, tokens, head_dim) or v.shape != k.shape:
            raise ValueError(f"k {tuple(k.shape)}, v {tuple(v.shape)}; expected ({batch}, {heads}, tokens, {head_dim})")
        if k.dtype != self.keys.dtype or v.dtype != self.keys.dtype:
            raise ValueError(f"k is {k.dtype}, v {v.dtype}, the cache holds {self.keys.dtype}")
        stop = self.length + tokens
        if stop >= capacity:
            raise ValueError(f"{self.length} of {capacity} places are taken; {tokens} more do not fit")
        self.keys[layer, :, :, self.length : stop] = k
        self.values[layer, :, :, self.length : stop] = v
        if layer == layers - 1:
            self.length = stop
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]

    def truncate(self, length):
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot cut to {length} tokens: the cache holds {self.length}")
        self.length = length


def generate(model, ids, max_new_tokens, *, stop_ids=()):
    if not ids:
        raise ValueError("the prompt is empty: give at least one token")
    made, fed = [], list(ids)
    with torch.inference_mode():
        cache = model.new_cache(1, len(ids) + max_new_tokens)
        while len(made) < max_new_tokens:
            token = int(model(torch.tensor([fed]), cache)[0, -1].argmax())
            if token in stop_ids:
                break
            made.append(token)
            fed = [token]
    return made
