from pathlib import Path

import numpy as np
import pytest
import torch

from charlm.errors import ConfigError
from charlm.evaluation import PROTOCOLS, parse_protocol, score_stream, score_windows

EXAMPLES = {"stream": ["stream", "stream:1", "stream:64"], "windows": ["windows:1", "windows:256"]}


def test_every_protocol_has_examples():
    assert set(EXAMPLES) == set(PROTOCOLS)


@pytest.mark.parametrize("name", [example for examples in EXAMPLES.values() for example in examples])
def test_contract(make_model, ids, name):
    """Each symbol but the first once, in order, whatever the protocol; its name says it again."""
    protocol = parse_protocol(name)
    assert protocol.name == name
    assert "every symbol but the first" in protocol.words
    done = []
    pieces = list(protocol.pieces(make_model(), ids[:1000], device="cpu", advance=done.append))
    assert sum(map(len, pieces)) == sum(done) == 999
    # a model of certainty: each target gets the loss that its own symbol deserves
    fixed = make_model()
    with torch.no_grad():
        fixed.output_weight.zero_()
        fixed.output_bias.copy_(torch.linspace(-3, 3, fixed.vocab_size))
    nats = np.concatenate([piece.nats for piece in protocol.pieces(fixed, ids[:1000])])
    expected = -torch.log_softmax(fixed.output_bias.detach(), 0).numpy()[ids[1:1000]]
    np.testing.assert_allclose(nats, expected, atol=1e-5)


def test_they_do_what_their_functions_do(make_model, ids):
    model = make_model()
    for name, expected in {
        "stream": score_stream(model, ids[:3000]),
        "stream:1": score_stream(model, ids[:3000], lanes=1),
        "windows:100": score_windows(model, ids[:3000], 100),
    }.items():
        nats = np.concatenate([piece.nats for piece in parse_protocol(name).pieces(model, ids[:3000])])
        np.testing.assert_array_equal(nats, expected.nats)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steam", r"no protocol 'steam': choose stream, windows \(did you mean stream\?\)"),
        ("", "no protocol ''"),
        ("windows", "windows needs a length, for instance windows:256"),
        ("windows:", "takes a whole number from 1 after the colon, was ''"),
        ("windows:0", "was '0'"),
        ("windows:-5", "was '-5'"),
        ("windows:2.5", r"was '2\.5'"),
        ("windows:٣", "was '٣'"),
        ("windows:" + "9" * 5000, "was '9{40}'"),
        ("windows:2000000", "from 1 to 1048576 symbols, was 2000000; try --protocol stream"),
        ("stream:nan", "was 'nan'"),
        ("stream:100000", "from 1 to 65536 lanes, was 100000"),
    ],
)
def test_what_cannot_be_parsed(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_protocol(text)


def test_the_page_names_them_all():
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name in PROTOCOLS:
        assert f"`{name}" in page
