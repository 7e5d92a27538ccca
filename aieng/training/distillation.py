"""Distillation: a small model learns from a large one's probabilities, not only from the right answers.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531), section 2.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float = 2.0, alpha: float = 0.5
) -> Tensor:
    """alpha · T² · KL(teacher ‖ student), both softened by the temperature T, plus (1 - alpha) · cross-entropy.

    Parameters
    ----------
    student_logits, teacher_logits : Tensor (..., classes), floating point
        No gradient flows into the teacher's.
    labels : Tensor (...), int64
        Right classes.
    temperature : float, > 0
        Divides both logits in the first term. The cross-entropy is taken at temperature 1.
    alpha : float, 0 to 1
        Weight of the teacher.

    Returns
    -------
    Tensor (), in nats
        Mean over all positions. T² keeps the first term's gradient at the same size whatever the temperature.

    Raises
    ------
    ValueError
        Shapes that do not fit together, temperature <= 0, alpha outside 0 … 1.
    """
    if student_logits.shape != teacher_logits.shape or labels.shape != student_logits.shape[:-1]:
        raise ValueError(
            f"student_logits {tuple(student_logits.shape)}, teacher_logits {tuple(teacher_logits.shape)}, labels "
            f"{tuple(labels.shape)}: the logits need the same shape (..., classes), the labels (...)"
        )
    if not temperature > 0 or not 0 <= alpha <= 1:
        raise ValueError(f"temperature={temperature}, alpha={alpha}; need temperature > 0 and 0 <= alpha <= 1")
    student = F.log_softmax(student_logits / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.detach() / temperature, dim=-1)
    soft = (teacher.exp() * (teacher - student)).sum(-1).mean()  # KL, averaged over positions
    hard = F.cross_entropy(student_logits.flatten(0, -2), labels.flatten())
    return alpha * temperature**2 * soft + (1 - alpha) * hard
