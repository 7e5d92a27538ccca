# Rows of the lower factor, which are 0 to the right.
def hessian(x):
    """2/n xᵀx of a layer's inputs: x (..., in) floating point, n rows altogether, to (in, in) float32."""
    rows = x.reshape(-1, x.shape[-1]).float()
    return 2.0 / len(rows) * (rows.mT @ rows)


def gptq(weight, hessian, bits=4, group_size=64, damping=0.01):
    """Codes of a weight whose output error on the calibration inputs is smaller than round-to-nearest's.

    Parameters
    ----------
    weight : Tensor (out, in), floating point
    hessian : Tensor (in, in), symmetric
    bits : int, 1 to 8
    group_size : int, divides in
    damping : float, > 0, share of the Hessian's mean diagonal (of 1 where that is 0) that is added to its diagonal

    Returns
    -------
    codes : Tensor (out, in), uint8
    scale, minimum : Tensor (out, in // group_size), float32
        As quantize_groups gives them (smallest to largest of the group, 2^bits levels), from each group as it stands when its first column
        comes up.

    Raises
    ------
    ValueError: hessian is not (in, in), group_size does not divide in, damping is not positive.
    """
    inputs = weight.shape[1]
    if tuple(hessian.shape) != (inputs, inputs) or inputs % group_size or not damping > 0:
        raise ValueError(f"hessian {tuple(hessian.shape)}, group_size={group_size}, damping={damping} do not fit {inputs} inputs")
    mean = float(hessian.diagonal().mean())
    damped = hessian.double() + damping * (mean if mean > 0 else 1.0) * torch.eye(inputs, dtype=torch.float64)
    u = torch.linalg.cholesky(torch.linalg.inv(damped)).float()  # UᵀU = H⁻¹

    w, levels = weight.detach().float().clone(), 2**bits - 1
    codes, scales, minima = [], [], []
    for j in range(inputs):
        if j % group_size == 0:
            group = w[:, j : j + group_size]
            minimum = group.amin(1)
            scale = (group.amax(1) - minimum) / levels
            step = torch.where(scale > 0, scale, 1.0)
            scales.append(scale)
            minima.append(minimum)
        code = ((w[:, j] - minimum) / step).round().clamp(0, levels)
        error = (w[:, j] - (minimum + scale * code)) / u[j, j]
        w[:, j + 1 :] -= error[:, None] * u[j, j + 1 :]
        codes.append(code.to(torch.uint8))
    return torch.stack(codes, dim=1), torch.stack(scales, dim=1), torch.stack(minima, dim=1)
