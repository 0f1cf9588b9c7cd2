import json
import lzma
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from charlm.config import TokenizerConfig
from charlm.errors import UnknownNameError
from charlm.evaluation import BASELINES, baseline_scores, baselines
from charlm.evaluation.tally import score_of_total
from charlm.tokenizers import train_tokenizer


@pytest.mark.parametrize("name", BASELINES)
class TestContract:
    def test_same_denominators_as_a_model(self, name, ids, tokenizer):
        (score,) = baseline_scores(ids[:20_000], ids[20_000:], tokenizer, [name]).values()
        assert score == score_of_total(score.total_nats, ids[20_000:], tokenizer)
        assert 0 < score.nats_per_character < math.log(tokenizer.vocab_size)
        json.dumps(asdict(score), allow_nan=False)

    @pytest.mark.parametrize("length", [0, 1])
    def test_nothing_to_predict(self, name, ids, tokenizer, length):
        (score,) = baseline_scores(ids, ids[:length], tokenizer, [name]).values()
        assert (score.total_nats, score.tokens, score.nats_per_character) == (0.0, 0, None)

    @pytest.mark.parametrize("train", ["", "a", "aaaa", "aaaabbbb"])
    def test_symbols_never_seen_are_possible(self, name, train):
        tokenizer = train_tokenizer(TokenizerConfig(), ["abc"])
        ids = tokenizer.encode("a\0cé🙂c")
        (score,) = baseline_scores(tokenizer.encode(train), ids, tokenizer, [name]).values()
        assert math.isfinite(score.total_nats)
        assert score.total_nats > 0

    def test_says_what_it_is(self, name, ids, tokenizer):
        assert BASELINES[name].words

    @pytest.mark.parametrize("family", ["byte", "char"])
    def test_pieces_change_nothing(self, name, text, family, monkeypatch):
        tokenizer = train_tokenizer(TokenizerConfig(tokenizer=family), [text])
        ids = tokenizer.encode(text)
        whole = baseline_scores(ids[:9000], ids[9000:12_000], tokenizer, [name])[name]
        monkeypatch.setattr(baselines, "PIECE", 1000)
        pieces = baseline_scores(ids[:9000], ids[9000:12_000], tokenizer, [name])[name]
        assert pieces.total_nats == pytest.approx(whole.total_nats, rel=1e-12)


def test_fixed_distributions_sum_to_one():
    """Uniform and unigram as distributions over all of V, by scoring each id once."""
    tokenizer = train_tokenizer(TokenizerConfig(), ["abcd"])
    train = tokenizer.encode("aaab")
    for name in ("uniform", "unigram"):
        p = [
            math.exp(-baseline_scores(train, np.array([0, symbol]), tokenizer, [name])[name].total_nats)
            for symbol in range(tokenizer.vocab_size)
        ]
        assert math.fsum(p) == pytest.approx(1)
        # S = 2 symbols in n = 4: what is new gets 2 / 6
        expected = {"uniform": [1 / 3, 1 / 3], "unigram": [1 / 2, 1 / 6]}[name]
        assert p[:2] == pytest.approx(expected)
        assert p[2] == pytest.approx(1 / 3 / (tokenizer.vocab_size - 2))


def test_uniform_is_the_logarithm_of_the_symbols_seen(ids, tokenizer):
    S = len(np.unique(ids))
    assert tokenizer.vocab_size == S + 256
    assert baseline_scores(ids, ids, tokenizer, ["uniform"])["uniform"].nats_per_token == pytest.approx(
        math.log(S), abs=S / len(ids) * 1.1
    )


def test_xz_is_what_the_file_grows_by(text, tokenizer):
    ids = tokenizer.encode(text)
    before, after = (len(lzma.compress(part.encode(), preset=6)) for part in (text[:20_001], text))
    score = baseline_scores(ids[:20_000], ids[20_000:], tokenizer, ["xz"])["xz"]
    assert score.total_nats == pytest.approx((after - before) * 8 * math.log(2))
    assert score.bits_per_byte == pytest.approx((after - before) * 8 / score.bytes)


def test_xz_looks_back_no_further_than_its_dictionary(text, tokenizer, monkeypatch):
    ids = tokenizer.encode(text)
    monkeypatch.setattr(baselines, "XZ_DICTIONARY", 5000)
    monkeypatch.setattr(baselines, "PIECE", 1024)
    cut = baseline_scores(ids[:20_000], ids[20_000:], tokenizer, ["xz"])
    assert cut == baseline_scores(ids[15_000:20_000], ids[20_000:], tokenizer, ["xz"])


def test_better_models_have_better_figures(ids, tokenizer):
    scores = baseline_scores(ids[:28_000], ids[28_000:], tokenizer)
    assert list(scores) == list(BASELINES)
    nats = {name: score.nats_per_character for name, score in scores.items()}
    assert nats["5-gram"] < nats["unigram"] - 0.5 < nats["uniform"] - 0.7
    assert nats["xz"] < nats["unigram"] - 0.5


def test_names_are_looked_up(ids, tokenizer):
    with pytest.raises(UnknownNameError, match=r"no baseline '6-gram': choose .* \(did you mean 5-gram\?\)"):
        baseline_scores(ids, ids, tokenizer, ["6-gram"])


def test_baselines_do_without_torch():
    code = "import sys, charlm.evaluation as e; e.baseline_scores, e.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_page_names_them_all():
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name in BASELINES:
        assert f"`{name}" in page


@pytest.mark.parametrize("way", ["exit", "interrupt"])
def test_a_process_that_ends_does_not_wait_for_xz(way):
    """The pieces never end here; a pool's threads would be waited for."""
    code = (
        "import itertools, signal, sys, threading, time\n"
        "import numpy as np\n"
        "from charlm.evaluation import baselines\n"
        "size = baselines._xz_size\n"
        "baselines._xz_size = lambda tail, text: size(tail, itertools.repeat(b'endless' * 999))\n"
        "ids, tokenizer = np.zeros(9, 'u1'), type('T', (), {'decode_bytes': lambda self, ids: b'x'})()\n"
        "baselines._last_bytes = lambda ids, tokenizer: [b'x']\n"
        "beside = threading.Thread(target=lambda: baselines.xz_nats(ids, ids, tokenizer), daemon=True)\n"
        "if sys.argv[1] == 'exit':\n"
        "    beside.start()\n"
        "    time.sleep(0.5)\n"
        "else:\n"
        "    threading.Timer(0.5, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()\n"
        "    try:\n"
        "        baselines.xz_nats(ids, ids, tokenizer)\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, way], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("which", [0, 1])
def test_a_failure_in_either_xz_is_told(ids, tokenizer, monkeypatch, which):
    class Failing:
        begun = iter(range(2))

        def __init__(self, *arguments, **keywords):
            if next(self.begun) == which:
                raise MemoryError

        def compress(self, piece):
            return b""

        def flush(self):
            return b""

    monkeypatch.setattr(lzma, "LZMACompressor", Failing)
    with pytest.raises(MemoryError):
        baselines.xz_nats(ids, ids, tokenizer)
