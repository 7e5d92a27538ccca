"""5.7 Distillation: visible properties and hints."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, normal

hints(
    "5.7",
    "Two losses, weighted: how far the student's softened probabilities are from the teacher's (Kullback-Leibler), and the usual "
    "cross-entropy with the "
    "labels. `F.log_softmax` of both, logits divided by the temperature first.",
    "KL(teacher ‖ student) = Σ teacher · (log teacher - log student), summed over classes, averaged over positions. Then T² in front "
    "of it, "
    "because dividing logits by T makes gradients T² times smaller. The cross-entropy is taken at temperature 1.",
    "s = log_softmax(student / T); t = log_softmax(teacher.detach() / T);\n"
    "soft = (t.exp() * (t - s)).sum(-1).mean(); hard = cross_entropy(student.flatten(0, -2), labels.flatten());\n"
    "alpha · T² · soft + (1 - alpha) · hard.",
)


def _case(seed: int, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
    labels = torch.randint(shape[-1], shape[:-1], generator=torch.Generator().manual_seed(seed + 2))
    return 2 * normal(seed, *shape), 2 * normal(seed + 1, *shape), labels


def _kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    s, t = (F.log_softmax(x.double() / temperature, -1) for x in (student, teacher))
    return (t.exp() * (t - s)).sum(-1).mean()


@prop("5.7", "by hand")
def by_hand(loss: Any) -> None:
    student, teacher, labels = torch.zeros(1, 2), torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0])
    got = expect_tensor(loss(student, teacher, labels, 1.0, 1.0), "the loss", (), hint="One number: the mean over all positions.")
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    expect(abs(float(got) - (0.5 * math.log(2 / 3) + 0.5 * math.log(2))) > 1e-4, "You computed KL(student ‖ teacher); the teacher comes "
                                                                                 "first.")
    expect_close(got, kl, "Teacher (3/4, 1/4), student (1/2, 1/2): 3/4 · ln(3/2) + 1/4 · ln(1/2) = 0.1308.", rtol=1e-4)
    got = loss(student, teacher, labels, 1.0, 0.0)
    expect_close(got, math.log(2.0), "alpha = 0: only the cross-entropy with the labels, here ln 2.", rtol=1e-4)


@prop("5.7", "both terms, weighted by alpha")
def weights(loss: Any) -> None:
    student, teacher, labels = _case(1, 12, 5)
    hard, soft = F.cross_entropy(student, labels), _kl(student, teacher, 1.0)
    got = float(loss(student, teacher, labels, 1.0, 0.25))
    entropy = -(F.softmax(teacher, -1) * F.log_softmax(teacher, -1)).sum(-1).mean()
    expect(abs(got - float(0.25 * (soft + entropy) + 0.75 * hard)) > 1e-4, "Your first term is the cross-entropy with the teacher; the "
                                                                           "teacher's own "
           "entropy has to come off, or a perfect student still has a loss.")
    expect(abs(got - float(0.75 * soft + 0.25 * hard)) > 1e-4, "alpha weights the teacher, 1 - alpha the labels; yours are swapped.")
    expect(abs(got - float(soft + hard)) > 1e-4, "The two terms are added unweighted: alpha is ignored.")
    expect_close(got, 0.25 * soft + 0.75 * hard, "alpha · KL + (1 - alpha) · cross-entropy, at temperature 1.", rtol=1e-4)


@prop("5.7", "temperature")
def temperature(loss: Any) -> None:
    student, teacher, labels = _case(2, 12, 5)
    for t in (2.0, 5.0, 0.5):
        got, soft = float(loss(student, teacher, labels, t, 1.0)), float(_kl(student, teacher, t))
        expect(abs(got - soft) > 1e-5 * t, f"T = {t}: the factor T² is missing.")
        expect(abs(got - t * soft) > 1e-5 * t, f"T = {t}: the factor is T², not T.")
        wide = F.log_softmax(student.double(), -1) - F.log_softmax(student.double() / t, -1)
        expect(abs(got / t**2 - soft) < 1e-3 or wide.abs().max() == 0, f"T = {t}: both sides are softened by T before the softmax.")
        expect_close(got, t**2 * soft, f"T = {t}, alpha = 1: T² · KL of the softened probabilities.", rtol=1e-3)
    got = float(loss(student, teacher, labels, 4.0, 0.0))
    expect_close(got, F.cross_entropy(student, labels), "The cross-entropy is taken at temperature 1, whatever T is.", rtol=1e-4)


@prop("5.7", "averaged over positions")
def positions(loss: Any) -> None:
    student, teacher, labels = _case(3, 2, 7, 6)
    want = 0.5 * 4 * _kl(student, teacher, 2.0) + 0.5 * F.cross_entropy(student.reshape(14, 6), labels.reshape(14))
    got = float(loss(student, teacher, labels, 2.0, 0.5).detach())
    for factor, what in ((14, "the sum over all positions"), (7, "the sum over tokens, averaged over the batch"),
                         (1 / 6, "also averaged over classes")):
        expect(abs(got - factor * float(want)) > 1e-3, f"A (2, 7, 6) input: you returned {what}; take the mean over the 14 positions (KL: "
                                                       f"summed over "
                                                       "classes).")
    expect_close(got, want, "(batch, tokens, classes): every token is a position of its own.", rtol=1e-3)


@prop("5.7", "a perfect student, and who learns")
def perfect(loss: Any) -> None:
    student, teacher, labels = _case(4, 9, 4)
    same = float(loss(teacher, teacher, labels, 3.0, 1.0))
    expect(abs(same) < 1e-5, f"A student that equals its teacher has the loss 0 at alpha = 1; yours {same:.4g}.")
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    with untouched(student=student.detach(), teacher=teacher.detach()):
        value = loss(student, teacher, labels, 2.0, 0.5)
    mine, theirs = torch.autograd.grad(value, (student, teacher), allow_unused=True)
    expect(mine is not None and bool(mine.any()), "No gradient reaches the student.")
    expect(theirs is None or not theirs.any(), "A gradient flows into the teacher: detach its logits.")
    huge = loss(torch.tensor([[1000.0, 0.0]]), torch.tensor([[0.0, 1000.0]]), torch.tensor([1]), 1.0, 0.5)
    expect(bool(torch.isfinite(huge)), f"Logits of ±1000 gave {float(huge)}: use log_softmax, not the log of a softmax.")


@prop("5.7", "errors that say so")
def errors(loss: Any) -> None:
    s, t, y = _case(5, 6, 4)
    for call, what in ((lambda: loss(s, t[:3], y), "teacher logits of another shape"), (lambda: loss(s, t, y[:3]), "too few labels"),
                       (lambda: loss(s, t, y, 0.0), "temperature = 0"), (lambda: loss(s, t, y, 1.0, 1.5), "alpha = 1.5")):
        expect_raises(ValueError, call, f"{what} should raise ValueError.")
