import math

import pytest

from charlm.cli.evaluation_facts import evaluation_facts
from charlm.evaluation import Evaluation, Score, parse_protocol


def made(score, **more):
    values = {"accuracy": 0.5, "interval": (1.4, 1.6), "protocol": parse_protocol("windows:256"), "split": "test"}
    return Evaluation(score=score, run="mine", checkpoint="step-00000100", **{**values, **more})


def test_figures_of_characters():
    score = Score(total_nats=1500.0, tokens=1000, characters=1000, bytes=1200)
    baselines = {"unigram": Score(total_nats=3300.0, tokens=1000, characters=1000, bytes=1200), "5-gram": score}
    facts = dict(evaluation_facts(made(score, baselines=baselines), "char"))
    assert facts["run"] == "mine, step-00000100"
    assert facts["text"] == "test split of it, 1,000 characters, 1,000 predictions"
    assert facts["nats"] == "1.500 per character (95 % interval 1.400 to 1.600)"
    assert facts["perplexity"] == "4.482 per character"
    assert facts["bits"] == "2.164 per character, 1.803 per byte"
    assert facts["accuracy"] == "50.0 %"
    assert facts["protocol"].startswith("windows:256: windows of 256")
    assert facts["baselines"] == "5-gram 1.500 · unigram 3.300 (nats per character)"


def test_how_the_text_was_split_stands_with_the_result():
    score = Score(total_nats=1500.0, tokens=1000, characters=1000, bytes=1200)
    facts = dict(evaluation_facts(made(score, division="90/5/5, contiguous"), "char"))
    assert facts["text"].startswith("test split of it (90/5/5, contiguous), 1,000 characters")
    assert dict(evaluation_facts(made(score, split="all"), "char"))["text"].startswith("all of it, 1,000 characters")


def test_perplexity_per_token_says_so_and_stands_beside_that_per_character():
    score = Score(total_nats=1500.0, tokens=500, characters=1000, bytes=1000)
    facts = dict(evaluation_facts(made(score), "bpe:500"))
    assert facts["perplexity"] == "20.086 per token (bpe:500); 4.482 per character"
    assert pytest.approx(20.086, abs=1e-3) == math.exp(3)


def test_nothing_to_predict_has_no_figures():
    facts = evaluation_facts(made(Score(total_nats=0.0, tokens=0, characters=0, bytes=0), accuracy=None), "char")
    assert facts == [("run", "mine, step-00000100"), ("text", "test split of it, 0 characters, 0 predictions")]
