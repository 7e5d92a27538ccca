"""1.4 Scalar quantization: visible properties and hints."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aieng.lesson.checking import expect, expect_close, expect_dtype, expect_raises, expect_shape, hints, prop, untouched

hints(
    "1.4",
    "Which numbers have to be remembered from training so that any later vector can be coded? Two per dimension are enough. "
    "Both are reductions over the rows: `axis=0`.",
    "encode is one line read from the inside out: subtract the minimum, divide by the step, round to the nearest, cut to 0 … "
    "255, and only then convert to uint8. Where the step is 0, divide by 1 instead. decode runs the same line backwards.",
    "train: float32; minimum over the rows; step = (maximum over the rows - minimum) / 255; return self.\n"
    "encode: refuse when not trained or another number of columns; (x - minimum) / (step, or 1 where it is 0); round; clip; "
    "uint8.\n"
    "decode: refuse when not trained; minimum + codes as float32 * step.",
)


def _data(n: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Rows whose dimensions have very different ranges, from about 0.1 to 50, not around zero."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(n, dim)) * np.geomspace(0.02, 10, dim) + rng.normal(size=dim), dtype=np.float32)


def _hand(sq: Any) -> Any:
    """Two dimensions: from -1 to 4.1 (step 0.02) and from 0 to 510 (step 2)."""
    return sq().train(np.array([[-1.0, 510.0], [4.1, 0.0], [2.0, 100.0]], dtype=np.float32))


@prop("1.4", "shapes and dtypes")
def shapes(sq: Any) -> None:
    x = _data(40, 6, 1)
    quantizer = sq()
    expect(quantizer.train(x) is quantizer, "`train` should return self, so that `ScalarQuantizer().train(x)` can be chained.")
    for name in ("minimum", "step"):
        value = getattr(quantizer, name, None)
        expect(value is not None, f"After `train`, `self.{name}` should be set.")
        expect_shape(value, (6,), name, "One number per dimension: reduce over the rows, axis=0.")
        expect_dtype(value, np.float32, name)
    codes = quantizer.encode(x[:5])
    expect_shape(codes, (5, 6), "codes", "One code per number.")
    expect_dtype(codes, np.uint8, "codes", "Codes that are not bytes save nothing.")
    decoded = quantizer.decode(codes)
    expect_shape(decoded, (5, 6), "decode(codes)")
    expect_dtype(decoded, np.float32, "decode(codes)")
    for data in (x.astype(np.float64), np.asfortranarray(x)):
        expect_dtype(sq().train(data).minimum, np.float32, "minimum", "float64 training data gives float32 attributes too.")


@prop("1.4", "the example by hand")
def by_hand(sq: Any) -> None:
    quantizer = _hand(sq)
    expect_close(quantizer.minimum, [-1, 0], "The dimensions run from -1 to 4.1 and from 0 to 510.")
    step = np.asarray(quantizer.step)
    expect(not np.allclose(step, [5.1 / 256, 510 / 256], rtol=1e-4),
           "You divided the range by 256; 256 marks have 255 gaps, and with 256 gaps the largest value would need code 256.")
    expect(not np.allclose(step, [5.1, 510], rtol=1e-4), "Your `step` is the whole range; it is the range divided by 255.")
    expect_close(step, [0.02, 2], "The steps are 5.1 / 255 = 0.02 and 510 / 255 = 2.", rtol=1e-4)
    codes = np.asarray(quantizer.encode(np.array([[0.516, 100.0]], dtype=np.float32)))
    expect(codes[0, 0] != 75,
           "0.516 is 75.8 steps above the minimum: you gave code 75, the nearest is 76. You cut off the decimals; round.")
    expect(codes.tolist() == [[76, 50]], f"The vector (0.516, 100) has the code (76, 50); yours is {codes[0].tolist()}.")
    decoded = np.asarray(quantizer.decode(np.array([[76, 50]], dtype=np.uint8)))
    expect(not np.allclose(decoded, [[1.52, 100]]), "decode gave (1.52, 100) for the code (76, 50): you forgot to add the minimum.")
    expect_close(decoded, [[0.52, 100]], "The code (76, 50) decodes to (0.52, 100).", rtol=1e-4)


@prop("1.4", "each dimension has its own range")
def own_range(sq: Any) -> None:
    x = _data(200, 8, 2)
    quantizer = sq().train(x)
    low, high = x.min(axis=0), x.max(axis=0)
    expect(not np.allclose(quantizer.minimum, x.min()), "You took one minimum for all dimensions: it is `x.min(axis=0)`.")
    expect(np.ptp(quantizer.step) > 1e-6 * np.max(quantizer.step),
           "All dimensions got the same step, although their ranges differ by a factor of 500: reduce over the rows only, axis=0.")
    expect_close(quantizer.minimum, low, "`minimum` is not the smallest value of each dimension.")
    expect_close(quantizer.step, (high - low) / 255, "`step` is not (max − min) / 255 of each dimension.", rtol=1e-4)


@prop("1.4", "the ends of the range are exact")
def ends(sq: Any) -> None:
    x = _data(300, 5, 3)
    quantizer = sq().train(x)
    codes = np.asarray(quantizer.encode(x))
    expect((codes.min(axis=0) == 0).all(),
           f"The smallest training value of each dimension has code 0; your smallest codes are {codes.min(axis=0).tolist()}.")
    at_top = codes[x.argmax(axis=0), np.arange(5)]
    expect((at_top == 255).all(), f"The largest training value of each dimension has code 255; yours got {at_top.tolist()}.")
    both = np.stack([np.zeros(5), np.full(5, 255)]).astype(np.uint8)
    expect_close(quantizer.decode(both), np.stack([x.min(axis=0), x.max(axis=0)]),
                 "Codes 0 and 255 decode to the ends of the range.", rtol=1e-4, atol=1e-5)


@prop("1.4", "nothing moves by more than half a step")
def half_a_step(sq: Any) -> None:
    x = _data(400, 10, 4)
    quantizer = sq().train(x)
    rng = np.random.default_rng(5)
    inside = rng.uniform(x.min(axis=0), x.max(axis=0), size=(300, 10)).astype(np.float32)
    step = (x.max(axis=0) - x.min(axis=0)) / 255
    for data in (x, inside):
        shift = (np.asarray(quantizer.decode(quantizer.encode(data)), dtype=np.float64) - data) / step
        worst = float(np.abs(shift).max())
        expect(not (0.9 < worst <= 1.01 and (shift < 0.01).all()),
               f"Every value came back too small, by up to {worst:.2f} steps: you cut the decimals off. Round to the nearest.")
        expect(worst <= 0.501,
               f"A value inside the trained range moved by {worst:.3g} steps; the nearest mark is at most 0.5 away.")


@prop("1.4", "training decides, not the batch")
def own_training(sq: Any) -> None:
    x = _data(100, 6, 6)
    quantizer = sq().train(x)
    together = np.asarray(quantizer.encode(x[:20]))
    alone = np.concatenate([np.asarray(quantizer.encode(row[None])) for row in x[:20]])
    expect(np.array_equal(together, alone), "A row got another code alone than among 20: encode should use the range from "
                                            "`train`, not that of the rows it is given.")


@prop("1.4", "a second training starts afresh")
def afresh(sq: Any) -> None:
    first, second = 10 * _data(50, 3, 10), _data(50, 3, 11)
    expect_close(sq().train(first).train(second).step, np.ptp(second, axis=0) / 255,
                 "After a second call of `train` only its data count: the first range should be forgotten.", rtol=1e-4)


@prop("1.4", "values outside the range go to its ends")
def clipped(sq: Any) -> None:
    quantizer = _hand(sq)
    codes = np.asarray(quantizer.encode(np.array([[4.12, 512.0], [-1.02, -2.0], [1e6, -1e6]], dtype=np.float32)))
    wrapped = codes[1, 0] == 255 or (codes[0, 0] == 0 and codes[2, 0] != 255)
    expect(not wrapped, f"One step above the range you gave code {codes[0, 0]}, one step below it "
           f"{codes[1, 0]}: a byte wraps round at its ends (256 → 0). Clip to 0 … 255 *before* you convert to uint8.")
    expect(codes.tolist() == [[255, 255], [0, 0], [255, 0]],
           f"Above the range the code is 255, below it 0; yours: {codes.tolist()}.")


@prop("1.4", "a dimension that never changes")
def constant(sq: Any) -> None:
    x = _data(50, 4, 7)
    x[:, 2] = 0.1
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        quantizer = sq().train(x)
        back = np.asarray(quantizer.decode(quantizer.encode(x)))
        moved = np.asarray(quantizer.decode(quantizer.encode(x + 5)))
    expect(np.isfinite(back).all(), "A constant dimension gave nan or infinity: its step is 0, and you divided by it.")
    expect(not any("in cast" in str(w.message) for w in seen),
           "You converted nan to a byte, and which number that gives depends on the machine: a constant dimension has step 0, and "
           "you divided by it. Divide by 1 there.")
    expect(quantizer.step[2] == 0, f"The step of a dimension that never changes is 0; yours is {quantizer.step[2]:.3g}.")
    expect(np.array_equal(back[:, 2], x[:, 2]),
           f"A dimension that is always 0.1 should come back as exactly 0.1; you gave {back[0, 2]:.9g}.")
    expect(np.array_equal(moved[:, 2], x[:, 2]),
           "A dimension that was 0.1 in all of training has a range of one point: every later value decodes to it.")


@prop("1.4", "decode in floats")
def decode_all(sq: Any) -> None:
    quantizer = _hand(sq)
    codes = np.stack([np.arange(256), np.arange(255, -1, -1)], axis=1).astype(np.uint8)
    want = np.array([-1.0, 0.0]) + codes * np.array([0.02, 2.0])
    expect_close(quantizer.decode(codes), want, "decode is minimum + code · step for every code. Convert to float32 before you "
                                                "multiply: bytes wrap round.", rtol=1e-4, atol=1e-4)


@prop("1.4", "inputs stay as they were")
def inputs_untouched(sq: Any) -> None:
    x = _data(60, 5, 8)
    quantizer = sq()
    with untouched(x=x):
        codes = quantizer.train(x).encode(x)
    before = np.array(quantizer.minimum), np.array(quantizer.step)
    with untouched(codes=codes):
        quantizer.decode(codes)
    quantizer.encode(3 * x)
    expect(np.array_equal(before[0], quantizer.minimum) and np.array_equal(before[1], quantizer.step),
           "Encoding changed `minimum` or `step`: only `train` may.")


@prop("1.4", "errors that say so")
def errors(sq: Any) -> None:
    x = _data(20, 4, 9)
    expect_raises(ValueError, lambda: sq().encode(x), "Encoding before training should raise ValueError.")
    codes = np.zeros((2, 4), dtype=np.uint8)
    expect_raises(ValueError, lambda: sq().decode(codes), "Decoding before training should raise ValueError.")
    quantizer = sq().train(x)
    for columns in (3, 1):
        expect_raises(ValueError, lambda given=x[:, :columns]: quantizer.encode(given),  # type: ignore[misc]
                      f"Rows of {columns} for a quantizer trained on 4 dimensions should raise ValueError.")
