#!/usr/bin/env python3
"""Writes yaml_golden.jsonl: what PyYAML with libyaml makes of YAML texts.

    pip install pyyaml                                  (its wheels have libyaml)
    python base/testdata/make_yaml_golden.py            (in the root of the repository)
"""
import datetime
import json
import math
import random

import yaml

TEXTS = [
    # Quoted line feeds, as yaml.dump writes them.
    "x: '\n\n  '", "x: '\n\n\n  '", "until:\n- '\n\n  '\n- '\n\n\n  '", "x: '\n\n  a'", "x: 'a\n\n\n  b'", "x: 'a\n  b'", "x: ' \n  '",
    'x: "\\n"', 'x: "\\n\\n"', 'x: "a\\\n  b"', 'x: "a\n\n  b \n c"', 'x: "\\x41\\u00e9\\U0001F600\\0\\t\\/\\N\\_\\L\\P\\e"', "x: 'it''s'",
    # Blocks.
    "x: |\n  a\n  b\n", "x: |-\n  a\n\n", "x: |+\n  a\n\n", "x: >\n  a\n  b\n\n  c\n   d\n  e\n", "x: >-\n  a\n  b\n", "x: >+\n  a\n\n\n",
    "x: |2\n    a\n   b\n", "x: |\n\n\n  a", "x: |", "x: >\n\n", "x: |\n  a: b # no comment\n",
    # Plain text over lines, comments, what ends it.
    "x: a b\n  c\n\n  d", "x: a #b", "x: a#b", "x: a: b", "x: http://a:8/b", "- - a\n  - b\n-\n  - c", "x:   ", "x:\ny: 1", "# only\n", "", "---\n", "--- a\n...\n",
    "%YAML 1.1\n---\na: 1", "a: 1\n---\nb: 2", "[a, b: c, {d: e}, ]", "{a, b: , c: 1}", "{a: 1}x", "[a", "a: ]", "\tx: 1", "x:\n\ty: 1", "a: 'b", "@a", "`a", "%a", "*a",
    "? a\n: b\n? c", "? [a]\n: b", "{[a]: b}", "\ufeffa: 1", "a: \u00e9\u4f60", "a: \x01", "a: \x7f", "a:\r\n  b: 1\r\n", "a: b\rc: d", "a\u2028: 1", "a:1", "a:", ": a", "- ", "-a", "--a", "a: -",
    "a: !x b", "a: !!str 5", "a: !!int '5'", "a: !!int x", "a: !!float 5", "a: !!float '1e3'", "a: ! 5", "a: !!null x", "a: !!bool 'yes'", "a: !!bool x", "a: !<tag:yaml.org,2002:str> 1", "a: !!str", "!!map {a: 1}", "a: !!binary aGk=",
    # Anchors, merges, repeated keys.
    "a: &x [1, 2]\nb: *x\nc: [*x, *x]", "a: &x 5\nb: *x", "a: &x 5\nb: &x 6\nc: *x", "a: *x", "a: &x [*x]", "&a b: *a",
    "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3, z: 4}", "b: {y: 3, <<: {y: 4, x: 1}}", "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b], z: 1}", "a: {<<: 5}", "a: {<<: [5]}", "a: {'<<': {x: 1}}", "a: {<<: {x: 1}, <<: {x: 2, y: 1}}",
    "a: 1\nb: 2\na: 3", "{a: 1, 'a': 2}", "{a: {x: 1}, a: {y: 2}}", "x: {a: 1,\n a: 2}",
]
PLAIN = """yes Yes YES yEs no No NO y n on On ON off OFF true True TRUE tRue false null Null NULL nULL ~ NaN nan .nan .NaN .NAN .Nan .inf -.inf +.Inf .INF inf
0 -0 +0 1 -1 +1 01 010 08 09 -010 0o10 0x1F 0xg -0x1f 0b101 0b2 1_000 _1 1_ 0x_ 0_7 1e3 1E3 1.0e3 1.0e+3 1.e+3 1e+3 1.5 -1.5 +1.5 .5 -.5 +.5 5. 1_0.5_0 1.5.2 1:30 1:30:30 1:60 01:30 1:30.5 -1:30 1:3:5.25
190:20:30 685_230.15 2001-01-01 2001-1-1 2001-12-14T21:59:43.10-05:00 2001-12-14 21:59 = << <<< - -- ? : . .. ... 9223372036854775807 9223372036854775808 -9223372036854775808 1e400 1.0e+400 12e03 0.1 0.30000000000000004 1.7976931348623157e+308 4.9e-324 !a 'a "a a' a"
{{a}} a{b}c a[b] [a]b a,b a|b >a |a %a a%b a&b &a *b a*b #a a#b @b a@b `c a`b a:b ::b b:: ,a 0.0 -0.0 00 0.""".split()
LIMIT = 2**63


def typed(value):
    """JSON that tells types apart; None for what the reader does not read as a type of its own."""
    if isinstance(value, dict):
        return {"map": [[typed(k), typed(v)] for k, v in value.items()]}
    if isinstance(value, list):
        return {"list": [typed(v) for v in value]}
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -LIMIT <= value < LIMIT else {"other": True}
    if isinstance(value, float):
        return {"float": value if math.isfinite(value) else str(value)}
    return {"other": True}  # a date or time, bytes


def row(text):
    try:
        return {"yaml": text, "value": typed(yaml.load(text, yaml.CSafeLoader))}
    except (yaml.YAMLError, ValueError, KeyError, RecursionError):
        return {"yaml": text, "error": True}


def random_texts():
    rnd = random.Random(7)
    pieces = ["\n", "\n", " ", "  ", "a", "b c", "'", "''", '"', "\\n", "\\", ":", ": ", "- ", "#", " #", "|", ">", "-", "\t", "é", "{{x}}", ","]
    for _ in range(700):
        body = "".join(rnd.choice(pieces) for _ in range(rnd.randint(1, 9)))
        quote = rnd.choice(["'", '"', "", "|\n  ", ">\n  ", ">-\n  ", "|+\n  "])
        indented = body.replace("\n", "\n" + " " * rnd.randint(1, 3))
        yield "x: " + quote + indented + (quote if len(quote) == 1 else "") + rnd.choice(["", "\n", "\ny: 1", "\n\n"])


def main():
    texts = TEXTS + [p + text for text in PLAIN for p in ("", "x: ", "- ")] + list(random_texts())
    with open("base/testdata/yaml_golden.jsonl", "w") as file:
        for text in dict.fromkeys(texts):
            file.write(json.dumps(row(text)) + "\n")


if __name__ == "__main__":
    main()
