def chunk(text, size, overlap=0):
    raise NotImplementedError


def retrieve(question, embed, search, k, min_score=-1.0):
    raise NotImplementedError


def build_prompt(question, passages, budget, count_tokens, instruction=INSTRUCTION):
    raise NotImplementedError
