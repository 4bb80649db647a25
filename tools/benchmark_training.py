#!/usr/bin/env python3
"""Training speed beside PyTorch: //distill:train_benchmark and distill/train_torch.py take turns on the same work.

    tools/setup.sh --peers && bazel build //distill:train_benchmark
    tools/benchmark_training.py [--rounds 3] [--stage 1 2] [--dtype bf16 fp32] [--batch 2] [--ctx 512] [--threads 2]

Prints the best tokens/s of each over all rounds, their ratio, and the share of this machine's GEMM rate that ours
reaches (both counted in the same run). Nothing else should be running.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(command):
    # Both sides are pinned: without it the kernel may put two threads on one core.
    environment = dict(os.environ, OMP_PROC_BIND="true")
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed with {result.returncode}:\n{result.stderr[-2000:]}")
    return result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stage", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", nargs="+", default=["bf16", "fp32"])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    ours = ROOT / "bazel-bin/distill/train_benchmark"
    python = pathlib.Path.home() / ".cache/radlads/peers/bin/python"
    for path, remedy in ((ours, "bazel build //distill:train_benchmark"), (python, "tools/setup.sh --peers")):
        if not path.exists():
            sys.exit(f"{path} is missing: run {remedy}")
    print(f"SmolLM2-135M into RAD-RWKV7, {options.batch} x {options.ctx} tokens a step, {options.threads} threads")
    print(f"{'stage':>5} {'dtype':>5} {'radlads':>9} {'PyTorch':>9} {'ratio':>6} {'of GEMM':>8}   tokens/s, best of {options.rounds} rounds")
    for stage in options.stage:
        for dtype in options.dtype:
            best_ours = best_torch = 0.0
            share = ""
            common = ["--stage", stage, "--dtype", dtype, "--batch", options.batch, "--ctx", options.ctx,
                      "--steps", options.steps, "--threads", options.threads]
            common = [str(word) for word in common]
            for _ in range(options.rounds):
                line = run([ours, *common]).strip().splitlines()[-1]
                found = re.match(rf"\s*{stage}\s+{dtype}\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+(\d+%)", line)
                if not found:
                    sys.exit(f"cannot read this line of {ours.name}: {line}")
                if float(found[1]) > best_ours:
                    best_ours, share = float(found[1]), found[5]
                best_torch = max(best_torch, json.loads(run([python, "distill/train_torch.py", *common]))["tokens_per_second"])
            print(f"{stage:>5} {dtype:>5} {best_ours:>9.0f} {best_torch:>9.0f} {best_ours / best_torch:>6.2f} {share:>8}", flush=True)


if __name__ == "__main__":
    main()
