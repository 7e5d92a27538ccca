class MultiHeadAttention:
    """Several heads side by side: project, split, attend, concatenate, project back.

    Gradients reach the weights behind all four projections.

    Parameters
    ----------
    query : callable such as a Linear
        (batch, tokens, hidden_size) to (batch, tokens, num_heads * head_dim)
    key, value : callable
        (batch, keys, hidden_size) to (batch, keys, num_key_value_heads * head_dim)
    output : callable
        (batch, tokens, num_heads * head_dim) to (batch, tokens, hidden_size)
    num_heads : int
    num_key_value_heads : int, optional
        Divides num_heads; as many as num_heads when left out. Query heads 0 … g - 1 share
        key-value head 0, the next g head 1, and so on (g = num_heads / num_key_value_heads).
    attention : callable
        ``attention(q, k, v, mask)`` with all three (batch, num_heads, tokens or keys, head_dim).

    Raises
    ------
    ValueError: num_key_value_heads does not divide num_heads.
    """

    def __init__(self, query, key, value, output, num_heads, num_key_value_heads=None,
                 attention=scaled_dot_product_attention):
        shared = num_heads if num_key_value_heads is None else num_key_value_heads
        if shared < 1 or num_heads % shared:
            raise ValueError(f"{num_heads} query heads cannot share {shared} key-value heads evenly")
        self.query, self.key, self.value, self.output = query, key, value, output
        self.num_heads, self.num_key_value_heads, self.attention = num_heads, shared, attention

    def split(self, x, heads):
        """Cut the features into heads.

        Parameters
        ----------
        x : Tensor (batch, tokens, features)
        heads : int

        Returns
        -------
        Tensor (batch, heads, tokens, features / heads); head 0 has the first features

        Raises
        ------
        ValueError: heads does not divide the features.
        """
        batch, tokens, features = x.shape
        if features % heads:
            raise ValueError(f"{features} features cannot be cut into {heads} heads of equal width")
        return torch.stack(x.chunk(heads, dim=-1), dim=1)

    def merge(self, x):
        """Put the heads side by side again.

        (batch, heads, tokens, head_dim) to (batch, tokens, heads * head_dim)
        """
        batch, heads, tokens, head_dim = x.shape
        return torch.cat(list(x.unbind(1)), dim=-1)

    def __call__(self, x, mask=None, memory=None):
        """Attend from x to memory, or to x itself without one.

        Parameters
        ----------
        x : Tensor (batch, tokens, hidden_size)
        mask : Tensor, optional
            Added to the scores; broadcasts to (batch, num_heads, tokens, keys). Handed to
            `attention` as it is.
        memory : Tensor (batch, keys, hidden_size), optional

        Returns
        -------
        Tensor (batch, tokens, hidden_size)
        """
        source = x if memory is None else memory
        q = self.split(self.query(x), self.num_heads)
        k = self.split(self.key(source), self.num_key_value_heads)
        v = self.split(self.value(source), self.num_key_value_heads)
        group = self.num_heads // self.num_key_value_heads
        k, v = (torch.stack([t[:, h // group] for h in range(self.num_heads)], dim=1) for t in (k, v))
        return self.output(self.merge(self.attention(q, k, v, mask)))
