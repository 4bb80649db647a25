#!/usr/bin/env python3
"""Renders every template of lm_eval's own tasks here and in lm_eval, with made-up documents, and reads its YAML files.

    tools/setup.sh && bazel build //eval/tasks:render_templates
    ~/.cache/radlads/lm_eval/bin/python eval/tasks/compare_with_lm_eval_templates.py        (in the root of the repository)

Documents are made for what a template does with its variables (members, items, methods, what it compares with), of all
types that JSON has. A template is equal where all documents that lm_eval renders give the same text here. Ends with
status 1 where a template or a file differs, or is refused here only.
"""
import argparse
import collections
import datetime
import json
import pathlib
import random
import subprocess
import sys

import lm_eval
import yaml
from jinja2 import nodes
from lm_eval.utils import apply_template, env

TEXT_METHODS = {"strip", "lstrip", "rstrip", "split", "replace", "capitalize", "upper", "lower", "startswith", "endswith", "join"}
WORDS = ["A", "B", "C", "D", "1", "2", "3", "yes", "no", "007", "cause", "effect", " a b ", "", "It's", 'say "x"', "é你好", "x\ny", "tab\t", "[SEP]a",
         "\u00ad\u200b\U0001F600", "\\n", "True", "a.b.c", "Ñandú, ok", "' \"", "['p', 'q']"]


class Shape:
    """What a template does with a value."""

    def __init__(self):
        self.members, self.item, self.constants, self.text = {}, None, [], False

    def member(self, name):
        return self.members.setdefault(name, Shape())

    def items(self):
        self.item = self.item or Shape()
        return self.item


class Uses:
    """Walks a template: which document would it render?"""

    def __init__(self, template):
        self.names = collections.defaultdict(Shape)
        self.bound = {}
        self.visit(env.parse(template))

    @staticmethod
    def inner(tree, node):
        """Whether `node` is only looked into: its member is used, not itself."""
        inside = (nodes.Getattr, nodes.Getitem, nodes.Call, nodes.Filter, nodes.CondExpr)
        return any(node is part for outer in tree.find_all(inside) for part in outer.iter_child_nodes())

    def shape(self, node):
        if isinstance(node, nodes.Name):
            return self.bound.get(node.name) or self.names[node.name]
        if isinstance(node, nodes.Getattr):
            whole = self.shape(node.node)
            return whole and whole.member(node.attr)
        if isinstance(node, nodes.Getitem):
            whole = self.shape(node.node)
            if whole is None:
                return None
            if isinstance(node.arg, nodes.Slice):
                whole.items()
                return whole
            if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
                return whole.member(node.arg.value)
            return whole.items()
        if isinstance(node, nodes.Filter) and node.node is not None:
            return self.shape(node.node)
        return None

    def visit(self, node):
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            whole = self.shape(node.node.node)
            if whole is not None and node.node.attr in TEXT_METHODS:
                whole.text = True
            elif whole is not None and node.node.attr == "index":
                whole.items()
            elif node.node.attr == "index" and self.shape(node.args[0]) is not None:
                self.shape(node.args[0]).constants += [c.value for c in node.node.node.find_all(nodes.Const)] * 3
            for child in [node.node.node] + node.args:
                self.visit(child)
            return
        if isinstance(node, nodes.For):
            whole = self.shape(node.iter)
            if isinstance(node.target, nodes.Name):
                self.bound[node.target.name] = whole.items() if whole else Shape()
            else:
                for name in node.target.find_all(nodes.Name):
                    self.bound[name.name] = Shape()
            self.visit(node.iter)
            for child in node.body + node.else_:
                self.visit(child)
            return
        if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
            self.visit(node.node)
            self.bound[node.target.name] = self.shape(node.node) or Shape()
            return
        if isinstance(node, nodes.Filter) and node.name == "map":
            for keyword in node.kwargs:
                if keyword.key == "attribute":
                    self.shape(node.node).items().member(keyword.value.value)
        if isinstance(node, nodes.Filter) and node.name in ("join", "length", "first", "last"):
            whole = self.shape(node.node)
            if whole is not None:
                whole.items()
        if isinstance(node, nodes.Compare):
            constants = [c.value for c in node.find_all(nodes.Const)]
            for side in [node.expr] + [o.expr for o in node.ops]:
                whole = self.shape(side)
                if whole is not None:
                    whole.constants += constants
        if isinstance(node, nodes.Add) and any(isinstance(c.value, str) for c in node.find_all(nodes.Const)):
            for name in node.find_all((nodes.Name, nodes.Getattr, nodes.Getitem)):
                if self.shape(name) is not None and isinstance(name.ctx, str) and not self.inner(node, name):
                    self.shape(name).text = True
        if isinstance(node, nodes.Slice):
            for bound in node.iter_child_nodes():
                if self.shape(bound) is not None:
                    self.shape(bound).constants += [0, 1, 3] * 3
        if isinstance(node, nodes.Getitem) and isinstance(node.node, nodes.Dict) and self.shape(node.arg) is not None:
            self.shape(node.arg).constants += [pair.key.value for pair in node.node.items if isinstance(pair.key, nodes.Const)]
        self.shape(node)
        for child in node.iter_child_nodes():
            self.visit(child)


def made_up(shape, rnd, depth=0):
    wild = rnd.random() < 0.08
    if shape.text and not wild:
        return rnd.choice(WORDS)
    if shape.members and not wild:
        return {name: made_up(member, rnd, depth + 1) for name, member in shape.members.items()}
    if shape.item is not None and not wild:
        if not shape.item.members and rnd.random() < 0.15:
            return rnd.choice(WORDS)
        if not shape.item.members and shape.item.item is None and rnd.random() < 0.5:
            return WORDS[:rnd.choice([3, 4, 4, 4, 6])]
        return [made_up(shape.item, rnd, depth + 1) for _ in range(rnd.choice([3, 4, 4, 4, 6]))]
    if shape.constants and rnd.random() < 0.6:
        return rnd.choice(shape.constants)
    kind = rnd.random()
    if kind < 0.55 or depth > 3:
        return rnd.choice(WORDS)
    if kind < 0.75:
        return rnd.choice([0, 1, 2, 3, -1, 10**15])
    if kind < 0.85:
        return rnd.choice([0.5, 2.0, 1e-7, 1e16, -3.25, 0.1, float("nan"), float("-inf"), 1e15])
    if kind < 0.9:
        return rnd.choice([True, False, None])
    if kind < 0.97:
        return [made_up(Shape(), rnd, depth + 1) for _ in range(rnd.randint(0, 4))]
    return {name: made_up(Shape(), rnd, depth + 1) for name in rnd.sample(["k", "it's", "é", "x y"], rnd.randint(0, 3))}


def documents(template, count, tries=400):
    """`count` of them with what lm_eval makes of each: (whether it renders, text); more where it renders none."""
    names = {name: shape for name, shape in Uses(template).names.items() if name not in env.globals}
    rnd = random.Random(template)
    rendered = False
    for i in range(tries):
        if i >= count and rendered:
            return
        # A document in ten lacks columns.
        document = {name: made_up(shape, rnd) for name, shape in names.items() if i % 10 != 9 or rnd.random() < 0.8}
        try:
            answer = (True, apply_template(template, document))
        except Exception as error:  # whatever lm_eval's user would see
            answer = (False, f"{type(error).__name__}: {error}")
        rendered = rendered or answer[0]
        yield document, answer


def templates_of(value):
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from templates_of(part)


class Loader(yaml.CSafeLoader):
    """lm_eval's, but that Python code stays a name."""


yaml.add_constructor("!function", lambda loader, node: {"!function": node.value}, Loader=Loader)


def plain(value):
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return {"!other": str(value)} if isinstance(value, (datetime.date, bytes)) else value


def answers(program, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    run = subprocess.run([program], input=text, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    return [json.loads(line) for line in run.stdout.splitlines()]


def report(title, cases, shown):
    if cases:
        print(f"{title}: {len(cases)}")
        for case in cases[:shown]:
            print("   ", case)


def compare_templates(program, found, count, shown):
    rows, expected = [], []
    for template in found:
        for document, answer in documents(template, count):
            rows.append({"template": template, "document": document})
            expected.append(answer)
    rendered, differ, outside, here_only = collections.Counter(), [], [], []
    for row, answer, (fine, text) in zip(rows, answers(program, rows), expected, strict=True):
        case = f"{row['template']!r} with {row['document']!r}: lm_eval {text!r}, here {answer!r}"
        if not fine:
            if "text" in answer:
                here_only.append(case)
            continue
        rendered[row["template"]] += 1
        if answer != {"text": text}:
            (outside if "outside" in answer else differ).append((row["template"], case))
    bad = {template for template, _ in differ + outside}
    equal = [t for t in found if t not in bad and rendered[t] > 0]
    never = [t for t in found if rendered[t] == 0]
    print(f"{sum(found.values())} templates, {len(found)} different ones, with {len(rows)} documents of which lm_eval "
          f"renders {sum(rendered.values())}")
    print(f"equal: {sum(found[t] for t in equal)}   refused by lm_eval with every document: {sum(found[t] for t in never)}   "
          f"different: {sum(found[t] for t in {t for t, _ in differ})}   refused here only: "
          f"{sum(found[t] for t in {t for t, _ in outside} - {t for t, _ in differ})}")
    report("different", [c for _, c in differ], shown)
    report("refused here only", [c for _, c in outside], shown)
    report("documents that are rendered here only", here_only, shown)
    report("templates that no document fitted", never, shown)
    return not bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="bazel-bin/eval/tasks/render_templates")
    parser.add_argument("--documents", type=int, default=40, help="made-up documents for each template")
    parser.add_argument("--shown", type=int, default=5, help="cases shown of each kind")
    options = parser.parse_args()
    folder = pathlib.Path(lm_eval.__file__).parent / "tasks"
    files = sorted(p for p in folder.rglob("*") if p.is_file() and (p.name.endswith("yaml") or p.suffix == ".yml"))
    found, wrong = collections.Counter(), []
    for path, answer in zip(files, answers(options.program, [{"yaml": str(p)} for p in files]), strict=True):
        with open(path, "rb") as file:
            value = yaml.load(file, Loader)
        found.update(templates_of(value))
        if json.dumps(answer) != json.dumps({"value": plain(value)}):
            wrong.append(f"{path}: {json.dumps(answer)[:300]}")
    print(f"lm_eval {lm_eval.__version__}: {len(files)} YAML files, {len(files) - len(wrong)} read as by PyYAML, "
          f"{len(wrong)} differ")
    report("files", wrong, options.shown)
    fine = compare_templates(options.program, found, options.documents, options.shown)
    sys.exit(0 if fine and not wrong else 1)


if __name__ == "__main__":
    main()
