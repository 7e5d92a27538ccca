def paged_attention(q, key_cache, value_cache, block_tables, context_lens):
    raise NotImplementedError()


def continuous_batching(requests, engine, max_running):
    raise NotImplementedError()
