"""What a training is told about its result, in words."""

import math

import pytest

from charlm.training.judgement import judge

BASELINES = {"5-gram": 1.5, "xz": 1.7, "unigram": 3.3}


def said(validation, training=None, epochs=5.0, baselines=BASELINES, dropout=0.1, enough_dropout=0.2, improving=False):
    return judge(
        validation=validation,
        training=training,
        epochs=epochs,
        baselines=baselines,
        dropout=dropout,
        enough_dropout=enough_dropout,
        improving=improving,
    )


def test_a_model_that_beats_the_5_gram_has_learned_the_text():
    (sentence,) = said(1.2)
    assert sentence == "20.0 % fewer bits than the 5-gram (1.500 nats): it has learned the text"


def test_a_model_behind_the_5_gram_is_told_so_and_not_praised():
    (sentence,) = said(1.8, training=1.75)
    assert "0.300 nats more than the 5-gram (1.500)" in sentence


@pytest.mark.parametrize("validation", [1.52, 1.5, 1.495])
def test_a_model_as_good_as_the_5_gram_is_told_to_go_on(validation):
    """Also one that is ahead by so little that it rounds to nothing."""
    level = "about level with the 5-gram (1.500 nats), which takes seconds: train it longer"
    assert said(validation, training=1.4) == [level]


def test_a_compressor_that_remembers_the_text_is_named():
    sentences = said(1.2, baselines=BASELINES | {"xz": 1.0})
    assert "xz needs fewer still (1.000)" in sentences[1]


@pytest.mark.parametrize(
    ("training", "epochs", "words"),
    [
        (1.0, 5.0, "by heart (training loss 1.000 without dropout, validation loss 1.400): raise --dropout, or stop"),
        (1.0, 1.2, "the validation text is another kind of text"),
        (1.35, 1.2, "it still underfits"),
        (1.35, 5.0, "the two splits agree"),
    ],
)
def test_the_two_splits_are_compared(training, epochs, words):
    assert words in said(1.4, training=training, epochs=epochs)[-1]


def test_a_model_that_overfits_is_told_one_way_out():
    """More dropout only where the rule has more, more text where it has not; and never longer and shorter together."""
    assert "raise --dropout" in said(1.4, training=1.0, dropout=0.1, enough_dropout=0.2)[-1]
    assert said(1.4, training=1.0, dropout=0.2, enough_dropout=0.21)[-1].endswith(": more text would help most")
    behind = said(1.8, training=1.0, dropout=0.2, enough_dropout=0.2)
    assert behind[0] == "0.300 nats more than the 5-gram (1.500), which takes seconds"
    assert "use a smaller --hidden-size" in behind[1]
    assert said(1.52, training=1.0)[0] == "about level with the 5-gram (1.500 nats), which takes seconds"


def test_a_model_that_was_best_at_its_end_is_not_told_to_stop_earlier():
    behind = said(1.8, training=1.0, dropout=0.2, enough_dropout=0.2, improving=True)[1]
    assert behind.endswith(
        "more text would help most; the validation loss was still falling, so a longer training will help too"
    )
    assert said(1.4, training=1.0, improving=True)[-1].endswith(": raise --dropout")


def test_a_text_of_one_symbol_is_not_praised():
    (sentence,) = said(0.0001, training=0.0001, baselines={"5-gram": 0.001})
    assert sentence == "there is next to nothing to learn: the 5-gram needs 0.001 nats"


def test_a_baseline_of_nothing_and_a_loss_that_is_no_number():
    assert said(0.0, baselines={"5-gram": 0.0})[0].startswith("there is next to nothing to learn")
    assert said(math.nan) == ["the validation loss is not a number: this model is of no use"]
    assert said(1.0, baselines={}) == []


def test_a_model_that_learned_little_of_an_easy_text_is_told_so():
    assert said(0.6, training=0.6, baselines={"5-gram": 0.001})[0].startswith("0.599 nats more than the 5-gram")
    assert said(0.6, training=0.6, baselines={"5-gram": 0.0})[0].startswith("0.600 nats more than the 5-gram")
