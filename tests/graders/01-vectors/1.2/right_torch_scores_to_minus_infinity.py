# Scores all words with torch, sets the inputs to -inf, takes topk.
import torch


def analogy(a, b, c, vocabulary, k=1, exclude_inputs=True):
    """The k words nearest to a − b + c: "king" − "man" + "woman".

    Parameters
    ----------
    a, b, c : str, words of the vocabulary
    vocabulary : dict, word to (dim,) float array of any length above 0; it stays as it is
    k : int, number of words to return
    exclude_inputs : leave a, b and c out of the answer

    Returns
    -------
    words : list of k pairs (word, cosine to unit(a) − unit(b) + unit(c)), largest cosine first

    Raises
    ------
    ValueError: a word is not in the vocabulary; k < 1, or more than there are words that may answer.
    """
    words = list(vocabulary)
    if not {a, b, c} <= set(words):
        raise ValueError("a, b and c must be words of the vocabulary")
    left = len(words) - (len({a, b, c}) if exclude_inputs else 0)
    if not 0 < k <= left:
        raise ValueError(f"k must be 1 to {left}")
    rows = torch.nn.functional.normalize(torch.tensor(np.array(list(vocabulary.values()))).double(), dim=1)
    place = {word: i for i, word in enumerate(words)}
    scores = torch.nn.functional.cosine_similarity(rows, (rows[place[a]] - rows[place[b]] + rows[place[c]])[None])
    if exclude_inputs:
        scores[[place[a], place[b], place[c]]] = -torch.inf
    best = scores.topk(k)
    return [(words[i], s) for s, i in zip(best.values.tolist(), best.indices.tolist())]
