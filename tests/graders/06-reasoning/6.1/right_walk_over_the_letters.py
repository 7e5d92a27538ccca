TRIGGER = "Let's think step by step."


def zero_shot_prompt(question):
    """Two lines: "Q: " and the question without white space around it; "A: " and TRIGGER. ValueError for a blank question."""
    if not question.strip():
        raise ValueError("the question is empty; give the text that the model should answer")
    return f"Q: {question.strip()}\nA: {TRIGGER}"


def few_shot_prompt(question, examples):
    """Worked examples, then the question with its answer left open.

    Parameters
    ----------
    question : str
    examples : list of (question, steps, answer), three strings each; shown in this order
        Each is two lines, "Q: question" and "A: steps The answer is answer.", and a blank line after them.

    Returns
    -------
    str; its last line is "A:", without a space after it. All parts are stripped of white space around them.

    Raises
    ------
    ValueError: a blank question, or no example.
    """
    if not question.strip():
        raise ValueError("the question is empty; give the text that the model should answer")
    if not examples:
        raise ValueError("no examples: a prompt without any is zero-shot")
    shown = [f"Q: {q.strip()}\nA: {steps.strip()} The answer is {answer.strip()}.\n\n" for q, steps, answer in examples]
    return "".join(shown) + f"Q: {question.strip()}\nA:"


def extract_answer(text):
    lines = []
    for line in text.split("\n"):
        if line.startswith("Q:"):
            break
        lines.append(line)
    text = "\n".join(lines)
    at = text.lower().rfind("answer is")
    numbers = scan(text)
    after = [value for start, value in numbers if at >= 0 and start >= at + len("answer is")]
    if after:
        return after[0]
    return numbers[-1][1] if numbers else None


def scan(text):
    """Every number with its place, by walking over the letters."""
    found, i = [], 0
    while i < len(text):
        if not text[i].isdigit():
            i += 1
            continue
        start, digits = i, ""
        while i < len(text) and text[i].isdigit():
            digits += text[i]
            i += 1
        if len(digits) <= 3:
            while text[i : i + 1] == "," and text[i + 1 : i + 4].isdigit() and len(text[i + 1 : i + 4]) == 3 and not text[i + 4 : i + 5].isdigit():
                digits += text[i + 1 : i + 4]
                i += 4
        if text[i : i + 1] == "." and text[i + 1 : i + 2].isdigit():
            digits += "."
            i += 1
            while i < len(text) and text[i].isdigit():
                digits += text[i]
                i += 1
        sign = start - 1 - (text[start - 1 : start] == "$")
        negative = sign >= 0 and text[sign] in "-−" and not (sign > 0 and (text[sign - 1].isalnum() or text[sign - 1] in "_.)]"))
        found.append((start, -float(digits) if negative else float(digits)))
    return found


def self_consistency(answers):
    answers = list(answers)
    best, most = None, 0
    for answer in answers:
        if answer is not None and answers.count(answer) > most:
            best, most = answer, answers.count(answer)
    return best, (most / len(answers) if most else 0.0)
