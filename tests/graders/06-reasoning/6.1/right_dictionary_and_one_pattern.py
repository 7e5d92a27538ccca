TRIGGER = "Let's think step by step."


def blank(question):
    if question.strip() == "":
        raise ValueError("a question is needed")
    return question.strip()


def zero_shot_prompt(question):
    return "\n".join(["Q: " + blank(question), "A: " + TRIGGER])


def few_shot_prompt(question, examples):
    question = blank(question)
    if len(examples) < 1:
        raise ValueError("give at least one example")
    blocks = []
    for asked, steps, answer in examples:
        blocks.append("Q: " + asked.strip() + "\nA: " + steps.strip() + " The answer is " + answer.strip() + ".")
    blocks.append("Q: " + question + "\nA:")
    return "\n\n".join(blocks)


NUMBER = re.compile(r"(?P<sign>(?<![\w.)\]])[-−])?[$]?(?P<whole>\d{1,3}(?:,\d\d\d)+(?!\d)|\d+)(?P<part>[.]\d+)?")


def value(match):
    size = float(match["whole"].replace(",", "") + (match["part"] or ""))
    return -size if match["sign"] else size


def extract_answer(text):
    end = re.search("(?m)^Q:", text)
    if end:
        text = text[: end.start()]
    place = text.upper().rfind("ANSWER IS")
    if place >= 0:
        match = NUMBER.search(text, place + 9)
        if match:
            return value(match)
    answer = None
    for match in NUMBER.finditer(text):
        answer = value(match)
    return answer


def self_consistency(answers):
    counts = {}
    for answer in answers:
        if answer is not None:
            counts[answer] = counts.get(answer, 0) + 1
    if not counts:
        return None, 0.0
    winner = max(counts, key=counts.get)
    return winner, counts[winner] / len(answers)
