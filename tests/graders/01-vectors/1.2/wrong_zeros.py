# The first words with 0.
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
    return [(word, 0.0) for word in list(vocabulary)[:k]]
