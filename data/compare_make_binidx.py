#!/usr/bin/env python3
"""make_binidx build beside the same pipeline in Python: JSON lines, `tokenizers`, NumPy.

  tools/setup.sh --peers && bazel build //data:make_binidx
  ~/.cache/radlads/peers/bin/python data/compare_make_binidx.py --tokenizer DIR --text FILE.jsonl

Both take turns on the same file with the same number of threads, each in a process of its own. Printed are the best time of
each, the CPU time, the largest memory, the ratio, and whether both wrote the same bytes (exit 1 when not).
"""
import argparse
import filecmp
import json
import os
import struct
import subprocess
import sys
import tempfile
import time


def python_pipeline(tokenizer, text, prefix, eos, batch=1000):
    import numpy as np
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(os.path.join(tokenizer, "tokenizer.json"))
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 65536 else np.int32
    sizes, texts = [], []
    with open(text, encoding="utf-8") as lines, open(prefix + ".bin", "wb") as out:

        def flush():
            for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
                ids = np.asarray(encoding.ids + [eos], dtype=dtype)
                sizes.append(len(ids))
                out.write(ids.tobytes())
            texts.clear()

        for line in lines:
            texts.append(json.loads(line)["text"])
            if len(texts) == batch:
                flush()
        flush()
    sizes = np.asarray(sizes, np.int32)
    pointers = np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.int64)]) * dtype().itemsize
    with open(prefix + ".idx", "wb") as out:
        out.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8 if dtype == np.uint16 else 4, len(sizes), len(sizes) + 1))
        out.write(sizes.tobytes() + pointers.astype(np.int64).tobytes())
        out.write(np.arange(len(sizes) + 1, dtype=np.int64).tobytes())


def run(command, environment):
    """Wall seconds, CPU seconds and megabytes of memory of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed: {errors.decode(errors='replace')}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="directory with tokenizer.json")
    parser.add_argument("--text", required=True, help="a .jsonl file with the field \"text\"")
    parser.add_argument("--eos", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--make_binidx", default="bazel-bin/data/make_binidx")
    parser.add_argument("--python_output", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.python_output:
        return python_pipeline(flags.tokenizer, flags.text, flags.python_output, flags.eos)

    environment = dict(os.environ, RAYON_NUM_THREADS=str(flags.threads), TOKENIZERS_PARALLELISM="true")
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs = os.path.join(directory, "ours"), os.path.join(directory, "theirs")
        common = ["--tokenizer", flags.tokenizer, "--eos", str(flags.eos)]
        commands = {
            "make_binidx": [flags.make_binidx, "build", flags.text, "--output", ours, "--restart",
                            "--threads", str(flags.threads), *common],
            "Python": [sys.executable, __file__, "--text", flags.text, "--python_output", theirs, *common],
        }
        best = {}
        for _ in range(flags.rounds):
            for name, command in commands.items():
                result = run(command, environment)
                best[name] = min(best.get(name, result), result)
        megabytes = os.path.getsize(flags.text) / 1e6
        for name, (wall, cpu, memory) in best.items():
            print(f"{name:12} {wall:7.2f} s, {megabytes / wall:7.1f} MB/s, {cpu:6.2f} s of CPU, {memory:5.0f} MB of memory")
        print(f"ratio {best['Python'][0] / best['make_binidx'][0]:.1f}")
        same = all(filecmp.cmp(ours + ending, theirs + ending, shallow=False) for ending in (".bin", ".idx"))
        print("the same bytes" if same else "other bytes")
        sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
