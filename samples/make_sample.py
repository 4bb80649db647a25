#!/usr/bin/env python3
"""Cuts the sample corpus and the held-out text of this directory from a larger corpus of public domain text.

    make_sample.py CORPUS.jsonl.xz OUTPUT_DIRECTORY

CORPUS holds one JSON object {"text", "source"} per line. The result depends on the corpus only: the same input
gives the same files. Python 3.9 or later, standard library only.
"""

import hashlib
import json
import lzma
import os
import re
import sys

# Bytes of text to take from each source for training.
TRAINING = {
    "npm-stdlib-sotu": 2_900_000,
    "sword-engWEB2015eb": 1_400_000,
    "jargon-text": 1_000_000,
    "sword-TDavid": 900_000,
    "npm-stdlib-moby": 900_000,
    "sword-Scofield": 200_000,
}
# The last documents of this source are held out whole; no piece of them is trained on.
HELD_OUT_DOCUMENTS = ("npm-stdlib-sotu", 2)
HELD_OUT_DOCUMENT_BYTES = 50_000
# All of this source is held out.
HELD_OUT_SOURCE = ("npm-factbook", 75_000)
# Addresses before this document of npm-stdlib-sotu (of about 1935) are left out: the language is dated.
FIRST_ADDRESS = 144
# A piece is cut at the first end of a paragraph or sentence after so many characters.
PIECE_CHARACTERS = 2800
SHORTEST_PIECE = 400


def clean(source, text):
    if source.startswith("sword-"):  # asterisks mark emphasis and headings
        text = re.sub(r"(?: ?\* ?)+", " ", text)
    if source == "npm-factbook":  # footnotes to figures begin in lower case
        text = "\n\n".join(p for p in text.split("\n\n") if not p[:1].islower())
    text = re.sub(r"[ \t]+", " ", text)
    return re.sub(r" ?\n ?", "\n", text).strip()


def cut(text):
    """Splits `text` into pieces of about PIECE_CHARACTERS that begin and end with a sentence."""
    pieces, piece = [], ""
    for part in re.split(r"(?<=[.!?”\"])(?=\s)", text):
        piece += part
        if len(piece) >= PIECE_CHARACTERS:
            pieces.append(piece.strip())
            piece = ""
    if len(piece.strip()) >= SHORTEST_PIECE:
        pieces.append(piece.strip())
    return pieces


def key(piece, salt):
    return hashlib.sha256((salt + piece["text"]).encode()).digest()


def take(pieces, budget):
    """Pieces in hashed (reproducibly random) order until `budget` bytes are reached."""
    taken, size = [], 0
    for piece in sorted(pieces, key=lambda p: key(p, "choice")):
        if size >= budget:
            break
        taken.append(piece)
        size += len(piece["text"].encode())
    return taken


def write(path, pieces):
    pieces = sorted(pieces, key=lambda p: key(p, "order"))
    lines = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in pieces).encode()
    with lzma.open(path, "wb", preset=9 | lzma.PRESET_EXTREME) as f:
        f.write(lines)
    print(f"{path}: {len(pieces)} documents, {len(lines)} bytes, {os.path.getsize(path)} compressed")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    documents = {}
    with lzma.open(sys.argv[1], "rt", encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            documents.setdefault(d["source"], []).append(d["text"])
    missing = [s for s in [*TRAINING, HELD_OUT_SOURCE[0]] if s not in documents]
    if missing:
        sys.exit(f"{sys.argv[1]} has no text from {', '.join(missing)}")

    def pieces_of(source, texts):
        return [{"text": p, "source": source} for t in texts for p in cut(clean(source, t))]

    source, count = HELD_OUT_DOCUMENTS
    held_out = take(pieces_of(source, documents[source][-count:]), HELD_OUT_DOCUMENT_BYTES)
    held_out += take(pieces_of(HELD_OUT_SOURCE[0], documents[HELD_OUT_SOURCE[0]]), HELD_OUT_SOURCE[1])
    documents[source] = documents[source][FIRST_ADDRESS:-count]
    training = []
    for source, budget in TRAINING.items():
        training += take(pieces_of(source, documents[source]), budget)

    os.makedirs(sys.argv[2], exist_ok=True)
    write(os.path.join(sys.argv[2], "corpus.jsonl.xz"), training)
    write(os.path.join(sys.argv[2], "held_out.jsonl.xz"), held_out)


if __name__ == "__main__":
    main()
