"""The distillation loss against torch's KL and cross-entropy, its gradient's size, and its ends."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from aieng.training.distillation import distillation_loss


def logits(seed, *shape):
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 11)])
@pytest.mark.parametrize(("temperature", "alpha"), [(1.0, 0.3), (4.0, 1.0), (0.5, 0.0)])
def test_closed_form(shape, temperature, alpha):
    student, teacher = logits(0, *shape), logits(1, *shape)
    labels = torch.randint(shape[-1], shape[:-1])
    s, t = (log_softmax(x.reshape(-1, shape[-1]) / temperature, -1) for x in (student, teacher))
    soft = kl_div(s, t, reduction="batchmean", log_target=True) * temperature**2
    hard = cross_entropy(student.reshape(-1, shape[-1]), labels.reshape(-1))
    want = alpha * soft + (1 - alpha) * hard
    assert torch.allclose(distillation_loss(student, teacher, labels, temperature, alpha), want)


def test_a_student_that_equals_its_teacher_loses_nothing():
    x = logits(2, 6, 4)
    assert distillation_loss(x, x, torch.zeros(6, dtype=torch.long), 3.0, 1.0).abs() < 1e-12


def test_gradient_keeps_its_size_at_high_temperature():
    def size(temperature):
        student = logits(3, 40, 8).requires_grad_()
        distillation_loss(student, logits(4, 40, 8), torch.zeros(40, dtype=torch.long), temperature, 1.0).backward()
        return float(student.grad.norm())

    # At high temperature the gradient tends to that of half the squared difference of logits, divided by classes.
    assert 0.5 < size(20.0) / size(100.0) < 2


def test_nothing_flows_into_the_teacher():
    student, teacher = logits(5, 4, 3).requires_grad_(), logits(6, 4, 3).requires_grad_()
    distillation_loss(student, teacher, torch.zeros(4, dtype=torch.long)).backward()
    assert teacher.grad is None and student.grad is not None


def test_refusals():
    x, y = torch.zeros(3, 4), torch.zeros(3, dtype=torch.long)
    for arguments, message in (((x, x[:2], y), "same shape"), ((x, x, y[:2]), "labels"), ((x, x, y, 0.0), "temperature=0"),
                               ((x, x, y, 1.0, 1.5), "alpha=1.5")):
        with pytest.raises(ValueError, match=message):
            distillation_loss(*arguments)
