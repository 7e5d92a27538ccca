TAGS = ("context", "example", "input", "output")


def escape_delimiters(text, names=TAGS):
    """A text in which no tag of these names can be read, with everything else as it was.

    Parameters
    ----------
    text : str; data from somewhere
    names : sequence of str, of letters, digits and underscores

    Returns
    -------
    str
        The "<" of every opening or closing tag of these names is written "&lt;". Capital letters, white
        space after "<" and after "/", and attributes do not save a tag: "< / INPUT x=1>" is one. A name
        ends where no letter, digit or underscore follows: "<inputs>" is another tag. The "&" of every
        "&lt;", "&gt;" and "&amp;" is written "&amp;", so that xml.sax.saxutils.unescape gives the text
        back.
    """
    if not names:
        return text
    any_name = "|".join(re.escape(name) for name in names)
    return re.sub(rf"<(?=\s*/?\s*(?:{any_name})(?!\w))", "&lt;", text, flags=re.IGNORECASE)


def build_prompt(instruction, text, *, persona="", context=(), examples=(), delimiters=True):
    r"""A prompt of named parts, ready to be continued by the answer.

    Parameters
    ----------
    instruction : str, what to do; yours, so it is not escaped
    text : str, what to do it with
    persona : str, who the model should be; a first block of its own unless empty; yours too
    context : sequence of str, background, one block each
    examples : sequence of (input, output), one block each
    delimiters : bool; put data (context, examples, text) between tags and escape it, or use plain labels
        and escape nothing

    Returns
    -------
    str
        Persona, instruction, context, examples, input, one empty line between blocks, no line break at
        the end. With delimiters a context is "<context>\n…\n</context>", an example
        "<example>\n<input>\n…\n</input>\n<output>\n…\n</output>\n</example>", the last block
        "<input>\n…\n</input>\n<output>". Without them a context stands as it is, an example is
        "Input: …\nOutput: …", the last block "Input: …\nOutput:".

    Raises
    ------
    ValueError: an instruction of white space only.
    """
    if not instruction.strip():
        raise ValueError("the instruction is empty")

    def tagged(name, content):
        return f"<{name}>\n{content}\n</{name}>"

    def pair(given, wanted):
        return tagged("input", escape_delimiters(given)) + "\n" + tagged("output", escape_delimiters(wanted))

    blocks = ([persona] if persona else []) + [instruction]
    if delimiters:
        blocks += [tagged("context", escape_delimiters(c)) for c in context]
        blocks += [tagged("example", pair(given, wanted)) for given, wanted in examples]
        blocks.append(tagged("input", escape_delimiters(text)) + "\n<output>")
    else:
        blocks += list(context)
        blocks += [f"Input: {given}\nOutput: {wanted}" for given, wanted in examples]
        blocks.append(f"Input: {text}\nOutput:")
    return "\n\n".join(blocks)


def ab_test(answer_a, answer_b, cases, correct, resamples=10_000, seed=0):
    """Compare two ways of answering on the same cases.

    Parameters
    ----------
    answer_a, answer_b : callable, a case to an answer; each is asked every case once, in order
    cases : sequence, at least one
    correct : callable, (case, answer) to whether it is right; called once per answer
    resamples : int, of the bootstrap
    seed : int

    Returns
    -------
    dict
        "a", "b" : (share, low, high), share of right answers and its 95 % Wilson interval (z = 1.959964)
        "difference" : (b - a, low, high), 2.5 and 97.5 percentiles of the paired bootstrap
        "p" : two-sided exact McNemar test, at most 1; 1 without disagreements
        "only_a", "only_b" : lists of the places of the cases that only one got right

    Raises
    ------
    ValueError: no cases.
    """
    n = len(cases)
    if n == 0:
        raise ValueError("no cases")
    right_a = np.array([bool(correct(case, answer_a(case))) for case in cases])
    right_b = np.array([bool(correct(case, answer_b(case))) for case in cases])

    def wilson(share, z=1.959964):
        middle = share + z * z / (2 * n)
        half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return share, max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))

    difference = right_b.astype(float) - right_a
    drawn = np.random.default_rng(seed).integers(0, n, (resamples, n))
    low, high = np.percentile(difference[drawn].mean(axis=1), (2.5, 97.5))
    only_a, only_b = np.flatnonzero(difference < 0).tolist(), np.flatnonzero(difference > 0).tolist()
    m = len(only_a) + len(only_b)
    tail = sum(math.comb(m, i) for i in range(min(len(only_a), len(only_b)) + 1)) / 2**m
    return {"a": wilson(float(right_a.mean())), "b": wilson(float(right_b.mean())),
            "difference": (float(difference.mean()), float(low), float(high)),
            "p": min(1.0, 2 * tail), "only_a": only_a, "only_b": only_b}
