#!/usr/bin/env python3
"""Writes tasks_golden.json, python_random.json and metrics_golden.json: what lm_eval makes of the tasks in this folder.

    pip install lm_eval==0.4.13 transformers tokenizers     (no torch needed; Python 3.11 or older, see below)
    python eval/testdata/make_goldens.py                    (in the root of the repository)

The model is a stand-in whose answers are a function of the token ids (see eval/tasks/fake_scorer.h), so that lm_eval's
requests, metrics and standard errors can be compared to the last bit. Python 3.12 adds floats with compensation, which
moves last bits of means.
"""
import json
import os
import random
import re
import sys

os.environ.update(HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import lm_eval  # noqa: E402
from lm_eval.api import metrics  # noqa: E402
from lm_eval.api.model import TemplateLM  # noqa: E402
from lm_eval.models.utils import has_bos_prefix  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

FOLDER = "eval/testdata"
TOKENIZER = "data/tokenizer/testdata/smollm2"
TASKS = ["arc_easy", "piqa", "science", "lambada", "blanks", "prose", "sums", "digits", "digit_columns", "digit_works",
         "digit_labels", "line_feeds"]
ANSWERS = ["3", "four", "#### 7", " Ten.", "eight", "2,", "Eleven", "five\n"]
MAX_LENGTH = 48


def mixed(ids):
    h = 0
    for i in ids:
        h = (h * 31 + i + 7) % 1000003
    return h


class StandIn(TemplateLM):
    """Encodes as HFLM does."""

    def __init__(self):
        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
        self.ids = {}

    eot_token_id = property(lambda self: self.tokenizer.eos_token_id)
    prefix_token_id = property(lambda self: self.tokenizer.bos_token_id)

    def tok_encode(self, string, add_special_tokens=None, **kwargs):
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            special["add_special_tokens"] = False
        return self.tokenizer.encode(string, **special)

    def _loglikelihood_tokens(self, requests, **kwargs):
        result = []
        for text, context, continuation in requests:
            h = mixed(context + continuation)
            result.append((-(h % 10007) / 1000.0 * len(continuation), h % 3 == 0))
            self.ids[text] = [context, continuation]
        return result

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        result = []
        for (text,) in [r.args for r in requests]:
            ids = self.tok_encode(text)
            windows = map(make_disjoint_window, get_rolling_token_windows(ids, self.prefix_token_id, MAX_LENGTH, 1))
            result.append(sum(r[0] for r in self._loglikelihood_tokens([(None, *w) for w in windows])))
            self.ids[text] = ids
        return result

    def generate_until(self, requests, disable_tqdm=False):
        result = []
        for text, _ in [r.args for r in requests]:
            self.ids[text] = self.tok_encode(text)
            result.append(ANSWERS[mixed(self.ids[text]) % len(ANSWERS)])
        return result


def tasks_golden():
    model = StandIn()
    run = lm_eval.simple_evaluate(model=model, tasks=[f"{FOLDER}/{t}.yaml" for t in TASKS], log_samples=True,
                                  task_manager=TaskManager(include_defaults=False))
    golden = {k: run[k] for k in ("results", "versions", "n-shot", "higher_is_better", "n-samples")}
    golden["samples"] = {}
    for task, samples in run["samples"].items():
        golden["samples"][task] = rows = []
        for s in sorted(samples, key=lambda s: s["doc_id"]):
            requests = []
            for arguments, response in zip(s["arguments"], s["resps"]):
                key = arguments[0] if len(arguments) == 1 or isinstance(arguments[1], dict) else tuple(arguments)
                requests.append({"arguments": list(arguments), "ids": model.ids[key], "response": response[0]})
            rows.append({"target": s["target"], "requests": requests, "metrics": {m: s[m] for m in s["metrics"]}})
    return golden


def metrics_golden():
    rnd = random.Random(3)
    cases = []
    for name, aggregation in (("mean", metrics.mean), ("perplexity", metrics.perplexity),
                              ("weighted_perplexity", metrics.weighted_perplexity),
                              ("bits_per_byte", metrics.bits_per_byte)):
        for n in (1, 2, 37):
            items = [float(rnd.random() < 0.4) if name == "mean" else -rnd.expovariate(0.5) for _ in range(n)]
            weights = [1] * n
            if name in ("weighted_perplexity", "bits_per_byte"):
                weights = [rnd.randint(1, 40) for _ in range(n)]
            xs = items if name in ("mean", "perplexity") else list(zip(items, weights))
            stderr = metrics.stderr_for_metric(aggregation, 5000)
            cases.append({"aggregation": name, "items": items, "weights": weights, "value": aggregation(xs),
                          "stderr": stderr(xs) if stderr and n > 1 else "N/A"})
    matches = []
    for prediction, reference, options in (
            ("Paris", "paris", {}), ("Paris", "paris", {"ignore_case": True}), ("ÉCOLE Σ", "école σ", {"ignore_case": True}),
            ("a.b, c!", "ab c", {"ignore_punctuation": True}), ("“a”", "a", {"ignore_punctuation": True}),
            ("room 12", "room ", {"ignore_numbers": True}), ("x ١", "x ", {"ignore_numbers": True}),
            ("so: #### 1,234.", "1234", {"regexes_to_ignore": [",", r"(?s).*#### ", r"\.$"]}),
            ("a\nb #### 7", "7", {"regexes_to_ignore": [r"(?s).*#### "]}), ("", "", {}), ("a ", "a", {})):
        score = metrics.exact_match_fn(predictions=[prediction], references=[reference], **options)["exact_match"]
        matches.append({"prediction": prediction, "reference": reference, "options": options, "score": float(score)})
    words = [{"text": t, "words": len(re.split(r"\s+", t))}
             for t in ("", "a", " a b ", "a\u00a0b\u3000c\x1cd", "one  two\n three", "\n")]
    return {"aggregations": cases, "exact_match": matches, "words": words}


def python_random():
    golden = {"sample": [], "choices": []}
    for seed, n, ks in ((1234, 20, (1, 2, 5, 6, 10)), (1234, 500, (5, 6, 20)), (0, 7, (3,)), (2**40 + 5, 1000, (4,)),
                        (1234, 100000, (5,))):
        rnd = random.Random(seed)
        golden["sample"].append({"seed": seed, "n": n, "rows": [{"k": k, "picked": rnd.sample(range(n), k)} for k in ks * 3]})
    for seed, n in ((0, 10), (7, 5153)):
        rnd = random.Random(seed)
        golden["choices"].append({"seed": seed, "n": n, "picked": [rnd.choices(range(n), k=12) for _ in range(3)]})
    return golden


def main():
    assert sys.version_info < (3, 12), "sums of floats would differ"
    os.environ["DISABLE_MULTIPROC"] = "1"
    for name, make in (("tasks_golden", tasks_golden), ("metrics_golden", metrics_golden), ("python_random", python_random)):
        with open(f"{FOLDER}/{name}.json", "w", encoding="utf-8") as file:
            json.dump(make(), file, ensure_ascii=False, indent=None, separators=(",", ":"))
            file.write("\n")


if __name__ == "__main__":
    main()
