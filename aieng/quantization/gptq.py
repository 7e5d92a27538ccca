"""GPTQ: round a weight matrix column by column, and let the columns still to come make up for each error.

A layer computes ``x Wᵀ``. Rounding to nearest keeps each weight close; what counts is that the *outputs* stay close on the inputs
that really occur. Their second moments, the Hessian H = 2/n XᵀX of the squared output error, say which errors can cancel.

Source: Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(arXiv:2210.17323), section 3 and algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aieng.quantization.integer import nearest_codes, quantize_groups


def hessian(x: Tensor) -> Tensor:
    """Second moments of a layer's inputs, 2/n XᵀX.

    Parameters
    ----------
    x : Tensor (..., in), floating point
        Inputs of the layer on calibration text, n rows altogether.

    Returns
    -------
    Tensor (in, in), float32
    """
    rows = x.reshape(-1, x.shape[-1]).float()
    return 2.0 / len(rows) * (rows.mT @ rows)


def gptq(
    weight: Tensor, hessian: Tensor, bits: int = 4, group_size: int = 64, damping: float = 0.01
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of a weight whose output error on the calibration inputs is smaller than round-to-nearest's.

    Parameters
    ----------
    weight : Tensor (out, in), floating point
    hessian : Tensor (in, in)
        Symmetric, from `hessian`.
    bits : int, 1 to 8
    group_size : int, divides in
        Numbers of a row that share scale and minimum, as in `quantize_groups`.
    damping : float, > 0
        Share of the Hessian's mean diagonal that is added to its diagonal, so that it can be inverted.

    Returns
    -------
    codes : Tensor (out, in), uint8
    scale, minimum : Tensor (out, in // group_size), float32
        For `dequantize_groups`. Taken from each group as it stands when its first column comes up.

    Raises
    ------
    ValueError
        hessian is not (in, in), damping is not positive, or what `quantize_groups` refuses.
    """
    out_features, in_features = weight.shape
    if tuple(hessian.shape) != (in_features, in_features):
        raise ValueError(f"hessian has shape {tuple(hessian.shape)}; the weight's {in_features} inputs need ({in_features}, {in_features})")
    if not damping > 0:
        raise ValueError(f"damping={damping}; it must be above 0, or inputs that never occur cannot be inverted")
    w = weight.detach().float().clone()
    codes = torch.empty(out_features, in_features, dtype=torch.uint8)
    scale, minimum = quantize_groups(w, bits, group_size)[1:]  # also refuses bad bits and group sizes
    u = _inverse_factor(hessian, damping)  # (in, in), upper triangular

    for start in range(0, in_features, group_size):
        end, g = start + group_size, start // group_size
        scale[:, g], minimum[:, g] = (s[:, 0] for s in quantize_groups(w[:, start:end], bits, group_size)[1:])
        errors = torch.empty(out_features, group_size)
        for j in range(start, end):
            column = w[:, j : j + 1]
            codes[:, j : j + 1] = nearest_codes(column[:, None], scale[:, g : g + 1], minimum[:, g : g + 1], bits)[:, 0]
            rounded = minimum[:, g] + scale[:, g] * codes[:, j].float()
            errors[:, j - start] = (w[:, j] - rounded) / u[j, j]
            w[:, j + 1 : end] -= errors[:, j - start, None] * u[j, j + 1 : end]
        # The columns behind this group hear of its errors in one matrix product.
        w[:, end:] -= errors @ u[start:end, end:]
    return codes, scale, minimum


def _inverse_factor(hessian: Tensor, damping: float) -> Tensor:
    """Upper triangular U with UᵀU = H⁻¹: row j says how later columns answer to an error in column j."""
    h = hessian.double()
    mean = float(h.diagonal().mean())
    h = h + damping * (mean if mean > 0 else 1.0) * torch.eye(len(h), dtype=h.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    return torch.linalg.cholesky(inverse, upper=True).float()
