"""Makes the golden values of optimizers and losses: numpy in float64, from published definitions.

Writes OUT/optimizers.json; with --check compares OUT/optimizers.json with what it would write,
which needs numpy alone. Where PyTorch is installed, making also checks the values against it.

Every input is representable in float32, so that a float32 engine starts from the same numbers. The
file holds, with tensors as nested lists in row-major order:
  adamw          cases of AdamW: constants, initial parameter, and per step the learning rate, the
                 factor on the gradient, the gradient, and parameter, m and v afterwards.
  muon           cases of Muon: constants, initial parameter, and per step the learning rate, the
                 momentum, the factor, the gradient, and parameter and buffer afterwards.
  orthogonalize  cases of the Newton-Schulz iterations alone: input and output.
  coefficients   of both iterations.
  clip           cases of clip_grad_norm_: gradients, limit, total norm, clipped gradients.
  cross_entropy  cases: x, w, targets (-1 is ignored), weights of rows, soft cap (or null), and
                 loss, nll per row, dx, dw. loss = sum of weights * nll.

Definitions:
  AdamW          Loshchilov and Hutter, arXiv 1711.05101, algorithm 2, as PyTorch states it: decay
                 by lr * weight_decay first, epsilon added to the corrected root.
  Muon           Jordan et al. 2024 (kellerjordan.github.io/posts/muon): buffer = lerp(buffer, g,
                 1 - momentum); u = lerp(g, buffer, momentum) with Nesterov, else buffer;
                 p -= lr * (weight_decay * p + sqrt(max(1, rows / columns)) * orthogonalize(u)).
  Newton-Schulz  X = U / (||U|| + 1e-7), five times X = aX + (bA + cA^2)X with A = XX^T, on the
                 transpose when there are more rows than columns.
  Polar Express  Amsel et al., arXiv 2505.16932, algorithm 1: coefficients are computed here by
                 Remez exchange with lower bound 1e-3, safety 2e-2 (not on the last step) and
                 cushion 2e-2; X = U / (1.02 ||U|| + 1e-6). These are the constants of nanochat and
                 modded-nanogpt.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np

NEWTON_SCHULZ = [(3.4445, -4.7750, 2.0315)] * 5


def drawn(generator, *shape, scale=1.0):
    """Normal numbers, rounded to float32."""
    values = scale * generator.standard_normal(shape)
    return values.astype(np.float32).astype(np.float64)


def f32(value):
    return float(np.float32(value))


# --- AdamW -----------------------------------------------------------------------------------


def adamw_step(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay):
    p = p * (1 - lr * weight_decay)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def adamw_cases():
    constants = [
        dict(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0),
        dict(beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1),
        dict(beta1=0.8, beta2=0.995, eps=1e-10, weight_decay=0.01),
    ]
    cases = []
    for index, constant in enumerate(constants):
        generator = np.random.default_rng(index)
        constant = {name: f32(value) for name, value in constant.items()}
        p = drawn(generator, 13)
        case = dict(**constant, parameter=p.tolist(), steps=[])
        m, v = np.zeros_like(p), np.zeros_like(p)
        # Gradients of very different sizes; a zero gradient; a clipped and a shrinking rate.
        for step, (scale, factor) in enumerate(
                [(1.0, 1.0), (1e-3, 1.0), (30.0, 0.25), (0.0, 1.0), (1.0, 0.5), (1e-6, 1.0)], 1):
            lr = f32(0.02 / step)
            g = drawn(generator, 13, scale=scale)
            p, m, v = adamw_step(p, factor * g, m, v, step, lr, **constant)
            case["steps"].append(dict(
                lr=lr, factor=factor, gradient=g.tolist(), parameter=p.tolist(), m=m.tolist(),
                v=v.tolist()))
        cases.append(case)
    return cases


# --- Muon ------------------------------------------------------------------------------------


def equioscillating_quintic(low, high):
    """The odd quintic closest to 1 on [low, high] (arXiv 2505.16932, section 3.2)."""
    if low / high >= 1 - 5e-6:
        return 15 / 8 / high, -10 / 8 / high**3, 3 / 8 / high**5
    left, right, error = (3 * low + high) / 4, (low + 3 * high) / 4, math.inf
    for _ in range(100):
        rows = [(x, x**3, x**5, sign)
                for x, sign in ((low, 1), (left, -1), (right, 1), (high, -1))]
        a, b, c, new_error = np.linalg.solve(np.array(rows), np.ones(4))
        if abs(new_error - error) < 1e-15:
            break
        error = new_error
        root = math.sqrt(9 * b * b - 20 * a * c)
        left, right = sorted(math.sqrt((-3 * b + sign * root) / (10 * c)) for sign in (-1, 1))
    return a, b, c


def polar_express(steps, low=1e-3, safety=2e-2, cushion=2e-2):
    high, coefficients = 1.0, []
    for step in range(steps):
        a, b, c = equioscillating_quintic(max(low, cushion * high), high)

        def value(x):
            return a * x + b * x**3 + c * x**5

        if cushion * high > low:
            centre = 2 / (value(low) + value(high))
            a, b, c = centre * a, centre * b, centre * c
        shrink = 1.0 if step == steps - 1 else 1 + safety
        with_safety = 1 + safety
        coefficients.append((a / shrink, b / shrink**3, c / shrink**5))
        a, b, c = a / with_safety, b / with_safety**3, c / with_safety**5
        low = value(low)
        high = 2 - low
    return coefficients


def iteration(name):
    """Coefficients, and factor and addend of the norm that the matrix is first divided by."""
    if name == "newton_schulz":
        return NEWTON_SCHULZ, 1.0, 1e-7
    return polar_express(5), 1.02, 1e-6


def orthogonalize(u, name):
    coefficients, factor, addend = iteration(name)
    x = u.T if u.shape[0] > u.shape[1] else u
    x = x / (factor * np.linalg.norm(x) + addend)
    for a, b, c in coefficients:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if u.shape[0] > u.shape[1] else x


def orthogonalize_cases():
    cases = []
    for index, (rows, columns) in enumerate([(5, 5), (4, 9), (9, 4), (1, 6), (7, 1)]):
        u = drawn(np.random.default_rng(50 + index), rows, columns)
        for name in ("newton_schulz", "polar_express"):
            cases.append(dict(
                iteration=name, input=u.tolist(), output=orthogonalize(u, name).tolist()))
    return cases


def muon_cases():
    cases = []
    shapes = [(6, 6), (4, 10), (10, 4)]
    for index, (rows, columns) in enumerate(shapes):
        for name in ("newton_schulz", "polar_express"):
            nesterov = index != 2
            generator = np.random.default_rng(10 + index)
            p = drawn(generator, rows, columns, scale=0.5)
            buffer = np.zeros_like(p)
            weight_decay = f32(0.1 * index)
            case = dict(iteration=name, iterations=5, nesterov=nesterov,
                        weight_decay=weight_decay, parameter=p.tolist(), steps=[])
            for step, factor in enumerate((1.0, 0.25, 1.0), 1):
                lr, momentum = f32(0.02 / step), f32(0.8 + 0.05 * step)
                g = drawn(generator, rows, columns)
                buffer = momentum * buffer + (1 - momentum) * factor * g
                u = (1 - momentum) * factor * g + momentum * buffer if nesterov else buffer
                scale = math.sqrt(max(1.0, rows / columns))
                p = p - lr * (weight_decay * p + scale * orthogonalize(u, name))
                case["steps"].append(dict(
                    lr=lr, momentum=momentum, factor=factor, gradient=g.tolist(),
                    parameter=p.tolist(), buffer=buffer.tolist()))
            cases.append(case)
    return cases


# --- Clipping and cross-entropy --------------------------------------------------------------


def clip_cases():
    cases = []
    for index, limit in enumerate([1.0, 100.0, f32(0.01)]):
        generator = np.random.default_rng(20 + index)
        gradients = [drawn(generator, 3, 4), drawn(generator, 5), drawn(generator, 1, scale=10)]
        norm = math.sqrt(sum((g * g).sum() for g in gradients))
        factor = min(1.0, limit / norm)
        cases.append(dict(
            max_norm=limit, norm=norm, gradients=[g.tolist() for g in gradients],
            clipped=[(factor * g).tolist() for g in gradients]))
    return cases


def cross_entropy_cases():
    cases = []
    shapes = [(1, 3, 5, None), (7, 4, 11, None), (6, 5, 13, 15.0), (4, 3, 7, None)]
    for index, (n, d, vocab, softcap) in enumerate(shapes):
        generator = np.random.default_rng(30 + index)
        x = drawn(generator, n, d, scale=2)
        # The soft cap must be felt, and its plain twin must not overflow a float32 exponent.
        w = drawn(generator, vocab, d, scale=3 if softcap else 1)
        targets = generator.integers(0, vocab, n)
        if n > 1:
            targets[generator.integers(0, n)] = -1
        if index == 3:
            targets[:] = -1
        kept = max(1, int((targets >= 0).sum()))
        weights = np.full(n, f32(1 / kept))
        if index == 2:
            weights = np.abs(drawn(generator, n))
        raw = x @ w.T
        logits = raw if softcap is None else softcap * np.tanh(raw / softcap)
        top = logits.max(axis=1, keepdims=True)
        total = np.exp(logits - top).sum(axis=1, keepdims=True)
        rows = np.arange(n)
        ignored = targets < 0
        safe = np.where(ignored, 0, targets)
        nll = (np.log(total) + top)[:, 0] - logits[rows, safe]
        nll[ignored] = 0
        dlogits = np.exp(logits - top) / total
        dlogits[rows, safe] -= 1
        dlogits *= np.where(ignored, 0, weights)[:, None]
        if softcap is not None:
            dlogits *= 1 - (logits / softcap) ** 2
        cases.append(dict(
            softcap=softcap, x=x.tolist(), w=w.tolist(), targets=targets.tolist(),
            weights=weights.tolist(), loss=float(weights @ nll), nll=nll.tolist(),
            dx=(dlogits @ w).tolist(), dw=(dlogits.T @ x).tolist()))
    return cases


# --- The outside witness ---------------------------------------------------------------------


def close(what, ours, theirs, tolerance):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    worst = np.max(np.abs(ours - theirs) / (1e-9 + np.abs(theirs).max()), initial=0)
    if not worst <= tolerance:
        raise SystemExit(f"{what}: differs from PyTorch by {worst:.2e}, more than {tolerance:.0e}")


def check_against_torch(golden):
    """float64 on both sides, so 1e-12 is rounding; torch.optim.Muon iterates in bfloat16 (8 bits),
    and an orthogonal matrix of five rounded steps keeps about two of them: 0.1."""
    import torch

    def tensor(values):
        return torch.tensor(values, dtype=torch.float64)

    for case in golden["adamw"]:
        p = torch.nn.Parameter(tensor(case["parameter"]))
        optimizer = torch.optim.AdamW(
            [p], betas=(case["beta1"], case["beta2"]), eps=case["eps"],
            weight_decay=case["weight_decay"])
        for step in case["steps"]:
            optimizer.param_groups[0]["lr"] = step["lr"]
            p.grad = step["factor"] * tensor(step["gradient"])
            optimizer.step()
            close("adamw", step["parameter"], p.detach().numpy(), 1e-12)
    for case in golden["muon"]:
        if case["iteration"] != "newton_schulz":
            continue
        p = torch.nn.Parameter(tensor(case["parameter"]))
        optimizer = torch.optim.Muon(
            [p], weight_decay=case["weight_decay"], nesterov=case["nesterov"], eps=1e-7)
        for step in case["steps"]:
            group = optimizer.param_groups[0]
            group["lr"], group["momentum"] = step["lr"], step["momentum"]
            before = p.detach().clone()
            p.grad = step["factor"] * tensor(step["gradient"])
            optimizer.step()
            close("muon buffer", step["buffer"], optimizer.state[p]["momentum_buffer"], 1e-12)
            change = p.detach() - before
            close("muon", np.asarray(step["parameter"]) - before.numpy(), change.numpy(), 0.1)
            with torch.no_grad():
                p.copy_(tensor(step["parameter"]))
    for case in golden["clip"]:
        parameters = [torch.nn.Parameter(tensor(g)) for g in case["gradients"]]
        for p in parameters:
            p.grad = p.detach().clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, case["max_norm"])
        close("norm", case["norm"], norm.numpy(), 1e-12)
        for p, clipped in zip(parameters, case["clipped"]):
            # PyTorch divides by norm + 1e-6.
            close("clip", clipped, p.grad.numpy(), 2e-6)
    for case in golden["cross_entropy"]:
        x, w = tensor(case["x"]).requires_grad_(), tensor(case["w"]).requires_grad_()
        logits = x @ w.T
        if case["softcap"] is not None:
            logits = case["softcap"] * torch.tanh(logits / case["softcap"])
        nll = torch.nn.functional.cross_entropy(
            logits, torch.tensor(case["targets"]), ignore_index=-1, reduction="none")
        (nll @ tensor(case["weights"])).backward()
        close("nll", case["nll"], nll.detach().numpy(), 1e-12)
        close("dx", case["dx"], x.grad.numpy(), 1e-12)
        close("dw", case["dw"], w.grad.numpy(), 1e-12)
    return torch.__version__


def differences(path, ours, theirs):
    """Places where two JSON values differ; numbers by more than rounding allows."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        for key in ours:
            yield from differences(f"{path}.{key}", ours[key], theirs[key])
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs)):
            yield from differences(f"{path}[{index}]", *pair)
    elif isinstance(ours, float) and isinstance(theirs, float):
        # Five Newton-Schulz steps amplify the rounding of another BLAS by about 8^5.
        if not abs(ours - theirs) <= 1e-9 * max(1.0, abs(ours)):
            yield f"{path}: {ours!r} against {theirs!r}"
    elif ours != theirs:
        yield f"{path}: {ours!r} against {theirs!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    file = options.out / "optimizers.json"
    golden = {
        "adamw": adamw_cases(),
        "muon": muon_cases(),
        "orthogonalize": orthogonalize_cases(),
        "coefficients": {
            name: [list(map(float, row)) for row in iteration(name)[0]]
            for name in ("newton_schulz", "polar_express")},
        "clip": clip_cases(),
        "cross_entropy": cross_entropy_cases(),
    }
    golden = json.loads(json.dumps(golden))
    if options.check:
        found = list(differences("golden", golden, json.loads(file.read_text())))
        print("\n".join(found[:10]) if found else f"{file.name}: as its script makes it")
        sys.exit(1 if found else 0)
    witness = "PyTorch not installed: not checked against it"
    try:
        witness = f"checked against PyTorch {check_against_torch(golden)}"
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
    options.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(golden) + "\n")
    print(f"{file.name}: {file.stat().st_size} bytes, {witness}")


if __name__ == "__main__":
    main()
