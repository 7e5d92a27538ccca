"""The key-value cache: keys and values of the tokens so far, so that each new token costs one step and not a whole pass."""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """Keys and values of every layer, in memory set aside once.

    Parameters
    ----------
    num_layers, batch, num_key_value_heads, head_dim : int
        At least 1.
    capacity : int
        Most tokens it can hold.
    dtype : torch.dtype
        Of keys and values.
    device : torch.device, optional

    Attributes
    ----------
    length : int
        Tokens held. It grows when the *last* layer of a step is appended: a pass that is interrupted half-way leaves the cache as it was.

    Raises
    ------
    ValueError
        A size below 1.
    """

    def __init__(
        self, num_layers: int, batch: int, num_key_value_heads: int, head_dim: int, capacity: int,
        dtype: torch.dtype = torch.float32, device: torch.device | None = None,
    ) -> None:
        sizes = {"num_layers": num_layers, "batch": batch, "num_key_value_heads": num_key_value_heads, "head_dim": head_dim,
                 "capacity": capacity}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} is {size}; it must be at least 1")
        self.keys = torch.zeros(num_layers, batch, num_key_value_heads, capacity, head_dim, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    @property
    def num_layers(self) -> int:
        return self.keys.shape[0]

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        """Bytes set aside: 2 · layers · batch · heads · capacity · head_dim · bytes of a number."""
        return self.keys.nbytes + self.values.nbytes

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new tokens' keys and values of one layer; give back those of all tokens so far.

        Parameters
        ----------
        layer : int
            0 … num_layers − 1; a step appends them in order.
        k, v : Tensor (batch, num_key_value_heads, tokens, head_dim)

        Returns
        -------
        (keys, values) : Tensors (batch, num_key_value_heads, length + tokens, head_dim)
            Views: nothing is copied, and the next `truncate` and `append` overwrite them.

        Raises
        ------
        ValueError
            Shape or dtype is not the cache's, no such layer, or no room.
        """
        layers, batch, heads, capacity, head_dim = self.keys.shape
        if not 0 <= layer < layers:
            raise ValueError(f"layer {layer} of a cache with {layers} layers")
        tokens = k.shape[2] if k.ndim == 4 else -1
        expected = (batch, heads, tokens, head_dim)
        if k.shape != expected or v.shape != expected:
            raise ValueError(f"k is {tuple(k.shape)} and v {tuple(v.shape)}; this cache takes ({batch}, {heads}, tokens, {head_dim})")
        if k.dtype != self.keys.dtype or v.dtype != self.keys.dtype:
            raise ValueError(f"k is {k.dtype} and v {v.dtype}, the cache holds {self.keys.dtype}")
        stop = self.length + tokens
        if stop > capacity:
            raise ValueError(f"the cache holds {self.length} of {capacity} tokens; {tokens} more do not fit: give it a larger capacity")
        self.keys[layer, :, :, self.length : stop] = k
        self.values[layer, :, :, self.length : stop] = v
        if layer == layers - 1:
            self.length = stop
        return self.keys[layer, :, :, :stop], self.values[layer, :, :, :stop]

    def truncate(self, length: int) -> None:
        """Forget all tokens from position `length` on (rejected drafts, an undone turn). ValueError beyond what is held."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot cut to {length} tokens: the cache holds {self.length}")
        self.length = length
