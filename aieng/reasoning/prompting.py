"""What a language model is asked in 6.1, the same in the notebook and in assets/make_cot_prompts.py."""

from __future__ import annotations

from typing import Any

EXAMPLES = (
    ("Ida has 12 plums. She picks 7 more and then eats 4. How many plums does Ida have now?",
     "Ida starts with 12 plums. With 7 more that is 12 + 7 = 19. After eating 4 it is 19 - 4 = 15.", "15"),
    ("Omar buys 3 bags with 6 nuts in each bag. 5 of the nuts get lost. How many nuts are left?",
     "3 bags with 6 nuts each are 3 * 6 = 18. Without the lost ones it is 18 - 5 = 13.", "13"),
)
TOKENS = {"direct": 8, "zero-shot": 96, "few-shot": 96}  # new tokens at most


def direct_prompt(question: str) -> str:
    """The question, and an answer that is begun so that a number has to come next."""
    return f"Q: {question.strip()}\nA: The answer is"


def ask(model: Any, prompt: str, max_new_tokens: int, one_line: bool = False) -> str:
    """Continue the prompt: as raw text by SmolLM2, as a message by what answers messages only (an `Endpoint`).

    one_line : end at the first line break, where the model is SmolLM2.
    """
    if not hasattr(model, "generate"):
        return str(model.chat(prompt, max_new_tokens))
    stops = {i for text in ("\n", "\n\n") for i in model.tokenizer.encode(text)} if one_line else set()
    return str(model.generate(prompt, max_new_tokens, stop_ids=(model.stop_id, 0, *stops)).text)
