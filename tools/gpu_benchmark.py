#!/usr/bin/env python3
"""Times the wkv6 and wkv7 CUDA kernels beside flash-linear-attention's, in one process, and says what share of the
roofline each reaches.

    gpu_benchmark.py --library libradlads_kernels.so [--json FILE] [--markdown FILE] [--shapes quick|all]

Times are medians of 20 replays after 3 warm-ups, from CUDA events around operators that are called with autograd as
training calls them. "Minimum" is the time to move the bytes that no implementation can avoid (bf16 inputs, outputs and
gradients once, a bf16 state every 64 tokens) at the bandwidth that a large copy reaches on this very GPU.
"""

import argparse
import json
import statistics
import sys

import torch

SHAPES = {  # batch, time, heads, head size
    "quick": [(8, 4096, 64, 64), (8, 2048, 28, 128)],
    "all": [(8, 4096, 64, 64), (8, 4096, 32, 128), (12, 512, 28, 128), (8, 2048, 28, 128), (1, 4096, 28, 128), (1, 16384, 28, 128)],
}


def milliseconds(run, repeats=20, warm_ups=3):
    for _ in range(warm_ups):
        run()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def bandwidth():
    """Bytes a second, read and written, of a copy of 2 GB."""
    source = torch.empty(1 << 30, dtype=torch.bfloat16, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() * source.element_size() / (milliseconds(lambda: target.copy_(source)) / 1e3)


def inputs(shape, delta):
    batch, time, heads, size = shape
    generator = torch.Generator("cuda").manual_seed(1)
    normal = lambda: torch.randn(batch, time, heads, size, device="cuda", generator=generator)
    decay = -0.6065 * torch.sigmoid(normal()) if delta else torch.clamp(-torch.exp(normal() - 2), min=-5)
    x = {"r": normal().bfloat16(), "log_w": decay, "k": normal().bfloat16(), "v": normal().bfloat16()}
    if delta:
        key = torch.nn.functional.normalize(normal(), dim=-1)
        x["a"], x["b"] = (-key).bfloat16(), (key * torch.sigmoid(normal())).bfloat16()
    return {name: value.requires_grad_(True) for name, value in x.items()}


def ours(x):
    op = torch.ops.radlads.wkv7 if "a" in x else torch.ops.radlads.wkv6
    return op(*x.values(), 1.0, None, None, torch.bfloat16)[0]


def fla(x):
    """flash-linear-attention's operator of the same recurrence, or None with the reason."""
    try:
        if "a" in x:
            from fla.ops.rwkv7 import chunk_rwkv7

            return lambda: chunk_rwkv7(r=x["r"], w=x["log_w"], k=x["k"], v=x["v"], a=x["a"], b=x["b"], scale=1.0)[0]
        from fla.ops.gla import chunk_gla

        return lambda: chunk_gla(q=x["r"], k=x["k"], v=x["v"], g=x["log_w"], scale=1.0)[0]
    except Exception as error:  # not installed, or it does not run with this torch
        print(f"flash-linear-attention cannot be compared: {error}", file=sys.stderr)
        return None


def both_ways(operator, x, gradient):
    """Milliseconds of the forward pass, and of forward and backward."""
    with torch.no_grad():
        forward = milliseconds(operator)

    def train():
        for value in x.values():
            value.grad = None
        operator().backward(gradient)

    return forward, milliseconds(train)


def minimum_bytes(shape, delta):
    """Of a forward pass, and of forward and backward."""
    batch, time, heads, size = shape
    tokens, states = batch * time * heads, 2 * size * size / 64
    forward, backward = (14, 26) if delta else (10, 18)
    return tokens * (forward * size + states), tokens * ((forward + backward) * size + 2 * states)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="libradlads_kernels.so")
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    parser.add_argument("--shapes", choices=sorted(SHAPES), default="all")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpu_benchmark: torch finds no GPU here")
    torch.ops.load_library(options.library)

    speed = bandwidth()
    device = torch.cuda.get_device_name()
    rows = []
    for shape in SHAPES[options.shapes]:
        for delta in (True, False):
            x = inputs(shape, delta)
            gradient = torch.randn_like(x["v"])
            minima = [1e3 * size / speed for size in minimum_bytes(shape, delta)]
            row = {"operator": "wkv7" if delta else "wkv6", "shape": shape, "minimum_ms": minima, "radlads_ms": both_ways(lambda: ours(x), x, gradient)}
            peer = fla(x)
            if peer is not None:
                try:
                    row["fla_ms"] = both_ways(peer, x, gradient)
                except Exception as error:
                    print(f"flash-linear-attention failed at {shape}: {error}", file=sys.stderr)
            rows.append(row)
            print(json.dumps(row), flush=True)
            del x, gradient
            torch.cuda.empty_cache()

    lines = [
        f"{device}, {speed / 1e12:.2f} TB/s in a copy, torch {torch.__version__}.",
        "",
        "| operator | batch, time, heads, head size | pass | minimum, ms | radlads, ms | share of the minimum | FLA, ms | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        for i, name in enumerate(("forward", "forward and backward")):
            own, least, peer = row["radlads_ms"][i], row["minimum_ms"][i], row.get("fla_ms")
            compared = f"{peer[i]:.3f} | {peer[i] / own:.2f}" if peer else "not run | "
            lines.append(f"| {row['operator']} | {', '.join(map(str, row['shape']))} | {name} | {least:.3f} | {own:.3f} | {100 * least / own:.0f}% | {compared} |")
    table = "\n".join(lines) + "\n"
    print(table)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"device": device, "bytes_per_second": speed, "torch": torch.__version__, "rows": rows}, file, indent=1)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(table)


if __name__ == "__main__":
    main()
