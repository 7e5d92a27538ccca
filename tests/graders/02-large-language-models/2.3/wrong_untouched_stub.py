def greedy(logits):
    raise NotImplementedError


def scale_temperature(logits, temperature):
    raise NotImplementedError


def keep_top_k(logits, top_k):
    raise NotImplementedError


def keep_top_p(logits, top_p):
    raise NotImplementedError


def sample(logits, generator=None):
    raise NotImplementedError
