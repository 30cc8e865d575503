"""PyTorch's side of `cargo xtask bench train`: one training step, timed.

Workloads (f32, AdamW, 2 threads unless told):
  S: 6 layers x 384,  6 heads, vocab  8192, time 256, batch 16
  L: 12 layers x 768, 12 heads, vocab 50304, time 512, batch 4
  default: 4 layers x 192, 3 heads, vocab 3462, time 256, batch 16: the model of `stoa up`, with a
     SwiGLU MLP of 512, norms with a weight, and queries and keys normalised per head
Architecture: embedding; per layer x += attention(norm x), x += mlp(norm x); norm; untied head;
mean cross-entropy. Of S and L: RMSNorm without weight, rotary positions (base 10000, half-split), causal
scaled_dot_product_attention, ReLU^2 MLP four times as wide, no biases.

A step is forward, backward and update on one fixed batch of synthetic tokens, so the loss must
fall: it is printed as a check that the work was done. What it does not do: read data, schedule,
or clip.

The last line of stdout is one JSON object. Settings that were found best for PyTorch are the
defaults; --help lists what can be varied.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time

SIZES = {
    "S": dict(layers=6, dim=384, heads=6, vocab=8192, time=256, batch=16),
    "L": dict(layers=12, dim=768, heads=12, vocab=50304, time=512, batch=4),
    "default": dict(layers=4, dim=192, heads=3, vocab=3462, time=256, batch=16, gated=512),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--weights", choices=["f32", "bf16"], default="f32",
                        help="bf16: the model runs under torch.autocast, weights stay f32")
    parser.add_argument("--mode", choices=["compile", "eager"], default="compile")
    parser.add_argument("--warmup", type=int, default=2, help="steps not counted")
    parser.add_argument("--steps", type=int, default=5, help="steps counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile-mode", default="default", help="torch.compile's mode")
    parser.add_argument("--cpp-wrapper", action="store_true", help="inductor's C++ wrapper")
    parser.add_argument("--optimizer", choices=["fused", "foreach", "loop", "compiled"],
                        default="fused", help="which implementation of AdamW")
    parser.add_argument("--loss", choices=["plain", "chunked"], default="plain",
                        help="cross_entropy on whole logits, or inductor's chunked one")
    return parser.parse_args()


def proc_status(key):
    """A size in /proc/self/status in bytes, or None off Linux."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def reset_peak():
    """Lowers VmHWM to the present size (proc(5), clear_refs); False where not possible."""
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
        return True
    except OSError:
        return False


def max_rss_bytes():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def rope_tables(torch, time_steps, head_dim, base=10000.0):
    frequency = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angle = torch.outer(torch.arange(time_steps, dtype=torch.float32), frequency)
    return angle.cos(), angle.sin()  # each [time, head_dim / 2]


def build(torch, size):
    nn, F = torch.nn, torch.nn.functional
    dim, heads = size["dim"], size["heads"]
    head_dim = dim // heads

    gated = size.get("gated")

    def norm(features):
        return nn.RMSNorm(features, eps=1e-6, elementwise_affine=gated is not None)

    def turn(x, cos, sin):  # x: [batch, head, time, head_dim]
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(dim, 3 * dim, bias=False)
            self.out = nn.Linear(dim, dim, bias=False)
            inner = gated or 4 * dim
            self.gate = nn.Linear(dim, inner, bias=False) if gated else None
            self.up = nn.Linear(dim, inner, bias=False)
            self.down = nn.Linear(inner, dim, bias=False)
            self.norms = nn.ModuleList([norm(dim), norm(dim)])
            self.head_norms = nn.ModuleList([norm(head_dim), norm(head_dim)] if gated else [])

        def forward(self, x, cos, sin):
            batch, steps, _ = x.shape
            qkv = self.qkv(self.norms[0](x)).view(batch, steps, 3, heads, head_dim)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [batch, head, time, head_dim]
            if gated:
                q, k = self.head_norms[0](q), self.head_norms[1](k)
            y = F.scaled_dot_product_attention(
                turn(q, cos, sin), turn(k, cos, sin), v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(batch, steps, dim))
            h = self.norms[1](x)
            if gated:
                return x + self.down(F.silu(self.gate(h)) * self.up(h))
            return x + self.down(F.relu(self.up(h)).square())

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(size["vocab"], dim)
            self.blocks = nn.ModuleList(Block() for _ in range(size["layers"]))
            self.norm = norm(dim)
            self.head = nn.Linear(dim, size["vocab"], bias=False)
            cos, sin = rope_tables(torch, size["time"], head_dim)
            self.register_buffer("cos", cos)
            self.register_buffer("sin", sin)
            for weight in self.parameters():
                if weight.dim() > 1:  # weights of norms stay 1
                    nn.init.normal_(weight, std=0.02)

        def forward(self, ids, targets):
            x = self.embedding(ids)
            for block in self.blocks:
                x = block(x, self.cos, self.sin)
            logits = self.head(self.norm(x))  # [batch, time, vocab]
            return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))

    return Model()


def synthetic_batch(torch, size):
    """Knuth's multiplicative hash of the position (TAOCP vol. 3, 6.4), so that any program can
    make the same tokens: id_i = (i * 2654435761 mod 2^32) * vocab div 2^32."""
    count = size["batch"] * (size["time"] + 1)
    hashed = torch.arange(count, dtype=torch.int64) * 2654435761 % 2**32
    rows = (hashed * size["vocab"] // 2**32).view(size["batch"], size["time"] + 1)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def main():
    options = arguments()
    start = time.perf_counter()
    import torch

    torch.set_num_threads(options.threads)
    baseline_rss = proc_status("VmRSS") or max_rss_bytes()
    torch.manual_seed(0)
    size = SIZES[options.size]
    model = build(torch, size)
    ids, targets = synthetic_batch(torch, size)
    # Same constants as the common GPT recipes; they do not change the time of a step.
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1,
        fused=True if options.optimizer == "fused" else None,
        foreach={"foreach": True, "compiled": True, "loop": False}.get(options.optimizer))
    compute_loss, update = model, optimizer.step
    if options.mode == "compile":
        import torch._inductor.config as inductor

        inductor.cpp_wrapper = options.cpp_wrapper
        if options.loss == "chunked":
            inductor.auto_chunker.enable = True
        compute_loss = torch.compile(model, mode=options.compile_mode)
    if options.optimizer == "compiled":
        update = torch.compile(optimizer.step)

    losses, seconds = [], []
    steady, peak_before_steps = False, 0
    for step in range(options.warmup + options.steps):
        if step == options.warmup:
            peak_before_steps = max_rss_bytes()  # the reset lowers ru_maxrss too
            steady = reset_peak()
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.weights == "bf16"):
            loss = compute_loss(ids, targets)
        loss.backward()
        update()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
        print(f"step {step} loss {losses[-1]:.4f} {seconds[-1]:.3f} s", file=sys.stderr, flush=True)

    timed = seconds[options.warmup:]
    step_seconds = statistics.median(timed)
    print(json.dumps({
        "engine": f"torch {options.mode}",
        "size": options.size,
        "weights": options.weights,
        "tokens_per_second": size["batch"] * size["time"] / step_seconds,
        "step_seconds": timed,
        "warmup_seconds": seconds[:options.warmup],
        "loss": losses,
        "peak_rss_bytes": max(peak_before_steps, max_rss_bytes()),
        # Without compilation and first allocations: what the steps themselves reach.
        "steady_peak_rss_bytes": proc_status("VmHWM") if steady else None,
        "baseline_rss_bytes": baseline_rss,
        "parameters": sum(p.numel() for p in model.parameters()),
        "settings": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "compile_mode": options.compile_mode if options.mode == "compile" else None,
            "cpp_wrapper": options.cpp_wrapper if options.mode == "compile" else None,
            "optimizer": options.optimizer,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "inductor_cache": os.environ.get("TORCHINDUCTOR_CACHE_DIR"),
        },
        "total_seconds": time.perf_counter() - start,
    }))


if __name__ == "__main__":
    main()
