#!/usr/bin/env python3
"""What the largest and worst bodies do to a server, and to a stream of another client beside them.

Reads a stream alone and then while sixteen clients send bodies of 64 MiB over and over: brackets, deep objects, lists of
numbers, empty strings, text, and the same compressed to a few KiB. Prints the tokens per second of both, their ratio,
what was answered, and the memory of the server's process.

    bazel-bin/serve/server --model DIR --listen 127.0.0.1:8080 &
    serve/load/worst_bodies.py --url http://127.0.0.1:8080 --pid $! [--tokens 400]

Exits with an error where a body was answered with anything but 400, 413 or 503, or the stream was not whole. The
clients run at the lowest priority, as those of a server are on other machines.
"""

import argparse
import collections
import http.client
import json
import multiprocessing
import os
import sys
import time
import urllib.parse
import zlib

SIZE = 64 << 20
BODIES = {
    "brackets": (b"", b"["),
    "deep objects": (b"", b'[{"a":'),
    "numbers": (b'{"prompt":[0', b",0"),
    "strings": (b"[", b'"",'),
    "equal keys": (b"{", b'"a":0,'),
    "messages": (b'{"messages":[{}', b',{"role":"","content":""}'),
    "text": (b'{"prompt":"', b"a "),
    "spaces": (b"", b" "),
}


def whole(name):
    begin, unit = BODIES[name]
    return (begin + unit * (SIZE // len(unit) + 1))[:SIZE]


def send(url, names, seconds, results):
    os.nice(19)
    answers = collections.Counter()
    end = time.monotonic() + seconds
    plain = {name: whole(name) for name in names}
    packed = {}
    for name in names:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        packed[name] = packer.compress(plain[name]) + packer.flush()
    while time.monotonic() < end:
        for name in names:
            for body, headers in ((plain[name], {}), (packed[name], {"Content-Encoding": "gzip"})):
                client = http.client.HTTPConnection(url.hostname, url.port, timeout=120)
                try:
                    client.request("POST", "/v1/chat/completions", body, headers)
                    answers[client.getresponse().status] += 1
                except OSError:
                    answers[0] += 1  # refused before all of it was sent, and the answer lost
                finally:
                    client.close()
    results.put(answers)


def stream(url, tokens):
    """-> (tokens per second after the first, whole?)"""
    client = http.client.HTTPConnection(url.hostname, url.port, timeout=600)
    body = {"prompt": "Once upon a time", "max_tokens": tokens, "temperature": 0, "stream": True,
            "logprobs": 0, "logit_bias": {}}
    client.request("POST", "/v1/completions", json.dumps(body))
    reply = client.getresponse()
    if reply.status != 200:
        raise SystemExit(f"the stream was refused: {reply.status} {reply.read()[:300]}")
    first, count, last = None, 0, b""
    for line in reply:
        line = line.strip()
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:]).get("choices") or [{}]
            got = len((choices[0].get("logprobs") or {}).get("tokens", []))
            if got and first is None:
                first, got = time.monotonic(), 0
            count += got
        last = line or last
    return count / (time.monotonic() - first), last == b"data: [DONE]"


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", default="http://127.0.0.1:8080")
    arguments.add_argument("--pid", type=int, help="of the server, for its memory")
    arguments.add_argument("--tokens", type=int, default=400, help="of the stream")
    arguments.add_argument("--seconds", type=float, default=30, help="that the clients send for")
    arguments.add_argument("--clients", type=int, default=16)
    flags = arguments.parse_args()
    url = urllib.parse.urlparse(flags.url)
    stream(url, 16)
    alone, good = stream(url, flags.tokens)
    before = resident(flags.pid) if flags.pid else 0
    results = multiprocessing.Queue()
    names = list(BODIES)
    clients = [
        multiprocessing.Process(target=send, args=(url, [names[i % len(names)]], flags.seconds, results))
        for i in range(flags.clients)
    ]
    for client in clients:
        client.start()
    time.sleep(3)
    most, rates = 0, []
    while any(client.is_alive() for client in clients):
        rate, is_whole = stream(url, flags.tokens)
        if any(client.is_alive() for client in clients):
            rates.append(rate)
        good = good and is_whole
        most = max(most, resident(flags.pid) if flags.pid else 0)
        answers = collections.Counter()
        while not results.empty():
            answers += results.get()
        flags.answers = getattr(flags, "answers", collections.Counter()) + answers
    for client in clients:
        client.join()
    beside = sum(rates) / len(rates) if rates else float("nan")
    print(f"a stream alone: {alone:.1f} tokens/s; beside: {beside:.1f} tokens/s ({beside / alone:.0%}), {len(rates)} streams")
    print("answers:", ", ".join(f"{count} x {status}" for status, count in sorted(flags.answers.items())))
    if flags.pid:
        time.sleep(2)
        print(f"resident: {before} MiB before, up to {most} MiB, {resident(flags.pid)} MiB after")
    if not good or set(flags.answers) - {0, 400, 413, 503}:
        sys.exit("the stream was not whole, or an answer is none of 400, 413 and 503")


if __name__ == "__main__":
    main()
