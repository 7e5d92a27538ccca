# Cross-entropy with soft targets minus the teacher's entropy; labels by gather.
def distillation_loss(student_logits, teacher_logits, labels, temperature=2.0, alpha=0.5):
    """alpha · T² · KL(teacher ‖ student), both softened by the temperature T, plus (1 - alpha) · cross-entropy at temperature 1.

    Parameters
    ----------
    student_logits, teacher_logits : Tensor (..., classes), floating point; no gradient flows into the teacher's
    labels : Tensor (...), int64, the right classes
    temperature : float, > 0
    alpha : float, 0 to 1, weight of the teacher

    Returns
    -------
    Tensor (), in nats: the mean over all positions (the KL is summed over classes)

    Raises
    ------
    ValueError: shapes that do not fit together, temperature <= 0, alpha outside 0 … 1.
    """
    if student_logits.shape != teacher_logits.shape or labels.shape != student_logits.shape[:-1]:
        raise ValueError(f"student {tuple(student_logits.shape)}, teacher {tuple(teacher_logits.shape)}, labels {tuple(labels.shape)}")
    if not temperature > 0 or not 0 <= alpha <= 1:
        raise ValueError(f"temperature={temperature}, alpha={alpha}; need temperature > 0 and 0 <= alpha <= 1")
    student = F.log_softmax(student_logits / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.detach() / temperature, dim=-1)
    p = teacher.exp()
    soft = (-(p * student).sum(-1) - -(p * teacher).sum(-1)).mean()
    hard = -F.log_softmax(student_logits, -1).gather(-1, labels[..., None]).mean()
    return alpha * temperature**2 * soft + (1 - alpha) * hard
