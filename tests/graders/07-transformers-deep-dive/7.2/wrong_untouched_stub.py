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
        raise NotImplementedError

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
        raise NotImplementedError

    def merge(self, x):
        """Put the heads side by side again.

        (batch, heads, tokens, head_dim) to (batch, tokens, heads * head_dim)
        """
        raise NotImplementedError

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
        raise NotImplementedError
