"""What a user waits for, line by line: the table of `waits.py`."""

from __future__ import annotations

from dataclasses import dataclass

from harness.waiting import SECONDS

# A training tells of a step at once only when it was its last one.
ONE_STEP = ("--steps", "1", "--json", "--run", "new")
STEP = '"kind": "train"'
STOP = '"kind": "stop"'
RUNS = 50

PREPARE = f"""
import hashlib, sys, time
from charlm.config import CorpusConfig, TokenizerConfig
from charlm.runs import prepare
import charlm.corpora, charlm.streams, charlm.tokenizers
begun = time.perf_counter()
data = prepare(CorpusConfig(corpus=(sys.argv[1],)), TokenizerConfig(tokenizer=sys.argv[2]))
spent = time.perf_counter() - begun
print(data.facts, data.tokenizer.fingerprint, hashlib.sha256(data.store.part("all").tobytes()).hexdigest())
print("{SECONDS}", spent)
"""
LEARN = f"""
import sys, time
from pathlib import Path
from charlm.config import TokenizerConfig
from charlm.tokenizers import train_tokenizer
import sentencepiece
text = Path(sys.argv[1]).read_text()
begun = time.perf_counter()
tokenizer = train_tokenizer(TokenizerConfig(tokenizer=sys.argv[2]), [text])
spent = time.perf_counter() - begun
print(tokenizer.fingerprint)
print("{SECONDS}", spent)
"""
BASELINE = f"""
import sys, time
from charlm.config import CorpusConfig, TokenizerConfig
from charlm.runs import prepare
from charlm.evaluation.baselines import baseline_scores
data = prepare(CorpusConfig(corpus=(sys.argv[1],)), TokenizerConfig())
ids = data.store.part("train"), data.store.part("validation")
begun = time.perf_counter()
scores = baseline_scores(*ids, data.tokenizer, sys.argv[2:] or None)
spent = time.perf_counter() - begun
print(scores)
print("{SECONDS}", spent)
"""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Something that a user waits for.

    Attributes:
        title: what it is, for the table.
        arguments: of `charlm`; TEXT5 stands for a text of 5 million characters, MINUTES for 10 s.
        snippet: Python to run in its place; `arguments` are then its own.
        until, after: what the command says when the wait ends and begins, where that is not its own end and start.
        cold: folders of the cache that are emptied before each time.
        fresh: runs that are as they were before each time.
        environment: of the command.
        practise: wait once before, uncounted. Not for what a run made before has done.
        repeats: at most so many times.
    """

    title: str
    arguments: tuple[str, ...] = ()
    snippet: str = ""
    until: str | None = None
    after: str = ""
    cold: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    practise: bool = True
    repeats: int = 100


COMPLETING = (("COMP_WORDS", "charlm train --hid"), ("COMP_CWORD", "2"), ("_CHARLM_COMPLETE", "bash_complete"))
EVERYTHING = ("tokens", "baselines")
CASES: dict[str, Wait] = {
    "help": Wait(title="`charlm --help`", arguments=("--help",)),
    "version": Wait(title="`charlm --version`", arguments=("--version",)),
    "train-help": Wait(title="`charlm train --help`", arguments=("train", "--help")),
    "completion": Wait(title="completion of an option", environment=COMPLETING),
    "corpora-list": Wait(title="`charlm corpora list`", arguments=("corpora", "list")),
    "check-5mb": Wait(title="`charlm corpora check`, 5 MB", arguments=("corpora", "check", "TEXT5", "--json")),
    "tokenize": Wait(title="`charlm tokenize`", arguments=("tokenize", "some words", "--run", "small", "--json")),
    "runs-list": Wait(title=f"`charlm runs list`, {RUNS} runs", arguments=("runs", "list", "--json")),
    "runs-show": Wait(title="`charlm runs show`", arguments=("runs", "show", "small", "--json")),
    "encode-5mb": Wait(title="encoding 5 MB", snippet=PREPARE, arguments=("TEXT5", "char"), cold=("tokens",)),
    "encode-50mb": Wait(title="encoding 50 MB", snippet=PREPARE, arguments=("TEXT50", "char"), cold=("tokens",)),
    "learn-bpe": Wait(title="learning bpe:1000 from 5 MB", snippet=LEARN, arguments=("TEXT5", "bpe:1000"), repeats=3),
    "5-gram": Wait(title="5-gram baseline, 5 MB", snippet=BASELINE, arguments=("TEXT5", "5-gram"), repeats=3),
    "xz": Wait(title="xz baseline, 5 MB", snippet=BASELINE, arguments=("TEXT5", "xz"), repeats=2),
    "train-cold": Wait(
        title="`charlm train`, 5 MB seen for the first time, to the first step",
        arguments=("train", "TEXT5", *ONE_STEP),
        until=STEP,
        cold=EVERYTHING,
        fresh=("new",),
        repeats=3,
    ),
    "train-warm": Wait(
        title="`charlm train`, 5 MB, to the first step",
        arguments=("train", "TEXT5", *ONE_STEP),
        until=STEP,
        fresh=("new",),
        repeats=3,
    ),
    "plan": Wait(title="`charlm train --plan`, 5 MB", arguments=("train", "TEXT5", "--plan", "--json"), repeats=2),
    "resume-100mb": Wait(
        title="`charlm train --resume`, 100 MB, to the first step",
        arguments=("train", "--resume", "--run", "large", "--steps", "2", "--json"),
        until=STEP,
        fresh=("large",),
        repeats=3,
    ),
    "eval-cold": Wait(
        title="`charlm eval`, 250 kB, baselines not known",
        arguments=("eval", "--run", "writer", "--json"),
        cold=("baselines",),
        repeats=2,
    ),
    "eval-warm": Wait(
        title="`charlm eval`, 250 kB, baselines known", arguments=("eval", "--run", "writer", "--json"), repeats=2
    ),
    "generate": Wait(
        title="`charlm generate`, to the first character",
        arguments=("generate", "--run", "writer", "--length", "2000", "--seed", "1"),
        until="",
        repeats=4,
    ),
    "ending": Wait(
        title="end of a training of 10 s, from the last step to the summary",
        arguments=("train", "TEXT5", "--minutes", "MINUTES", "--json", "--run", "new"),
        after=STOP,
        fresh=("new",),
        practise=False,
        repeats=2,
    ),
}
