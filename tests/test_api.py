"""charlm from Python: train, load, generate, evaluate."""

import copy
import pickle
import random
import subprocess
import sys

import pytest
import torch

import charlm
from charlm.errors import ConfigError, CorpusError, RunError, TokenizerError, UnknownNameError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def model(place, events):
    text = place / "tale.txt"
    draws = random.Random(1)
    text.write_text("".join(draws.choice(["a cat sat. ", "the dog ran. ", "it was dawn.\n"]) for _ in range(900)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE", str(place / "cache"))
        return charlm.train(
            str(text), root=place / "runs", run="tale", on_event=events.append,
            steps=150, learning_rate=0.02, hidden_size=24, batch_size=8, window_length=16, threads=1,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def cache(place, monkeypatch):
    monkeypatch.setenv("CHARLM_CACHE", str(place / "cache"))


def test_train_tells_events_and_returns_the_model(model, events):
    assert events[-1].kind == "stop"
    assert model.run.name == "tale"
    assert model.config.model.hidden_size == 24


def test_without_anybody_who_is_told_no_samples_are_written(place, model, monkeypatch):
    monkeypatch.setattr("charlm.training.assembly.sampler", None)  # to make one would fail
    settings = {"steps": 2, "hidden_size": 8, "batch_size": 4, "window_length": 8, "threads": 1}
    assert charlm.train(str(place / "tale.txt"), root=place / "silent", run="a", **settings).run.name == "a"


def test_texts_are_given_once(place):
    for start in (charlm.train, lambda *texts, **more: charlm.sweep(*texts, ranges={"dropout": "0..0.5"}, **more)):
        with pytest.raises(ConfigError, match=r"give texts or corpus, not both, was \('a\.txt',\) and \('b\.txt',\)"):
            start("a.txt", corpus=("b.txt",), root=place / "none")
    assert not (place / "none").exists()


def test_load_finds_runs_by_name_folder_and_step(model, place):
    by_name = charlm.load("tale", root=place / "runs")
    by_folder = charlm.load(place / "runs" / "tale")
    latest = charlm.load(root=place / "runs")
    texts = {loaded.generate("a cat", seed=3, length=40) for loaded in (model, by_name, by_folder, latest)}
    assert len(texts) == 1
    assert charlm.load("tale@150", root=place / "runs").checkpoint.step == 150
    with pytest.raises(RunError, match="did you mean tale"):
        charlm.load("tail", root=place / "runs")


def test_generate_follows_its_settings(model):
    text = model.generate("the", seed=1, length=30, temperature=0.5)
    assert text.startswith("the")
    assert len(text) == 33
    assert "".join(model.stream("the", seed=1, length=30, temperature=0.5)) == text
    assert model.generate("a", length=20, greedy=True) == model.generate("a", length=20, temperature=0.0)
    with pytest.raises(ConfigError, match="temperature must be a number >= 0"):
        model.generate(temperature=-1.0)
    with pytest.raises(ConfigError, match="no setting 'temprature'"):
        model.generate(temprature=1.0)
    with pytest.raises(TokenizerError, match="Ω"):
        model.generate("Ω")


def test_evaluate_scores_its_own_splits_and_other_texts(model, place):
    own = model.evaluate()
    assert own.split == "test"
    assert own.score.nats_per_character < own.baselines["unigram"].nats_per_character
    other = place / "other.txt"
    other.write_text("a cat sat. the dog ran. " * 30)
    assert model.evaluate(str(other)).score.tokens == 24 * 30 - 1
    assert model.evaluate(split="validation", protocol="windows:8", baselines=False).baselines == {}


def test_another_text_is_encoded_from_end_to_end(model, place):
    """Its parts are for those who ask for them: a piece of a sub-word tokenizer cut in two would be scored as two."""
    short = {"steps": 2, "hidden_size": 8, "batch_size": 8, "window_length": 16, "threads": 1}
    cut = charlm.train(str(place / "tale.txt"), root=place / "runs", run="pieces", tokenizer="bpe:290", **short)
    other = place / "pieces.txt"
    for repeats in range(1, 12):
        text = "a cat sat. the dog ran.\n" * repeats
        other.write_text(text)
        pieces = len(cut.tokenizer.encode(text))
        assert cut.evaluate(str(other), baselines=False).score.tokens == pieces - 1
    assert cut.evaluate(str(other), split="test", baselines=False).score.tokens < pieces / 4
    score = cut.evaluate(str(other), baselines=False).score
    assert cut.compare(cut, other).bits[0] == pytest.approx(score.bits_per_character, rel=1e-6)


def test_torchs_default_format_and_switches_of_gradients_are_no_matter(model, place):
    """Whoever computes in float64 elsewhere, or wraps an evaluation as is usual."""
    torch.set_default_dtype(torch.float64)
    try:
        short = {"steps": 2, "hidden_size": 8, "batch_size": 8, "window_length": 16, "threads": 1}
        trained = charlm.train(str(place / "tale.txt"), root=place / "runs", run="doubles", **short)
        found = trained.evaluate(engine="torch", baselines=False).score.nats_per_character
    finally:
        torch.set_default_dtype(torch.float32)
    again = charlm.load("doubles", root=place / "runs")
    assert found == again.evaluate(engine="torch", baselines=False).score.nats_per_character
    with torch.no_grad():
        (dynamic,) = again.evaluate(additions=["dynamic"], baselines=False).additions.values()
    assert dynamic.score.nats_per_character < found


def test_evaluate_leaves_the_threads_of_torch_as_they_were(model):
    before = torch.get_num_threads()
    assert model.evaluate(threads=before + 1, baselines=False).score.tokens
    assert torch.get_num_threads() == before


def test_baselines_that_cannot_learn_are_said_to_be_left_out(model, place, monkeypatch):
    (place / "new.txt").write_text("the dog ate a hat that ran. " * 30)
    monkeypatch.setenv("CHARLM_CACHE", str(place / "empty"))
    (place / "tale.txt").rename(place / "gone.txt")
    try:
        found = model.evaluate(place / "new.txt")
        assert found.baselines == {}
        assert [notice[:12] for notice in found.notices] == ["no baselines"]
        assert "tale.txt" in found.notices[0]
        assert model.evaluate(place / "new.txt", baselines=False).notices == ()
    finally:
        (place / "gone.txt").rename(place / "tale.txt")
    assert set(model.evaluate(place / "new.txt").baselines) == {"uniform", "unigram", "5-gram", "xz"}


@pytest.mark.parametrize(("split", "named"), [("train", False), ("all", False), ("all", True)])
def test_baselines_are_not_scored_on_what_they_have_learnt(model, place, split, named):
    found = model.evaluate(place / "tale.txt" if named else None, split=split)
    assert found.baselines == {}
    assert ["part of this text" in notice for notice in found.notices] == [True]


def test_unknown_characters_follow_the_policy_asked_for(model, place):
    odd = place / "odd.txt"
    odd.write_text("a cat sat. " * 20 + "ΩΩΩ" + "the dog ran. " * 20)
    written, dropped = (model.evaluate(odd, unknown=policy).score for policy in ("bytes", "drop"))
    assert (written.characters - dropped.characters, written.bytes - dropped.bytes) == (3, 6)
    with pytest.raises(TokenizerError, match="Ω"):
        model.evaluate(odd, unknown="error")


def test_no_more_is_quoted_than_was_asked_for(model, place):
    tale = (place / "tale.txt").read_text()
    free = model.generate("a cat", seed=1, length=200, temperature=0.3)
    bound = model.generate("a cat", seed=1, length=200, temperature=0.3, max_copy=12)
    assert max(length for length in range(5, 60) if any(free[at : at + length] in tale for at in range(100))) > 20
    assert not any(bound[at : at + 13] in tale for at in range(len(bound) - 12))


def test_a_text_that_is_another_now_cannot_be_kept_from(model, place):
    tale = place / "tale.txt"
    before = tale.read_bytes()
    tale.write_text("something else")
    try:
        with pytest.raises(CorpusError, match=r"max_copy needs the text that run tale was trained on: .* has changed"):
            model.generate(max_copy=12)
    finally:
        tale.write_bytes(before)


def test_importing_charlm_is_light():
    code = "import sys, charlm; charlm.load; print(sorted({'torch', 'numpy', 'rich', 'click'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() in ("[]", "['numpy']")


def test_a_model_is_that_of_the_training_wherever_it_lies(place, monkeypatch):
    monkeypatch.chdir(place)
    small = {"steps": 2, "hidden_size": 8, "layers": 1, "batch_size": 8, "window_length": 16, "threads": 1}
    mine = charlm.train("tale.txt", root=".", run="tale", seed=2, **small)
    assert (mine.run.folder.resolve(), mine.config.training.seed) == (place / "tale", 2)
    assert charlm.load("tale", root=str(place / "runs")).config.training.seed == 1


def test_a_copy_of_a_model_is_where_it_is_whatever_was_done_with_it(model):
    """For another process: what it has read, and loops in machine code, stay behind."""
    text = model.generate("a cat", seed=1, length=20)
    model.generate("a cat", beam=2, length=5)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert not {"runtime", "checkpoint"} & set(vars(other))
        assert other.generate("a cat", seed=1, length=20) == text


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_that_no_machine_has_are_refused(model, threads):
    for ask in (
        lambda: model.evaluate(threads=threads),
        lambda: model.compare(model, threads=threads),
        lambda: model.coder(threads=threads),
    ):
        with pytest.raises(ConfigError, match=r"^threads must be a whole number"):
            ask()
    with pytest.raises(ConfigError, match=r"^protocol must be a text such as stream"):
        model.evaluate(protocol=None)


def test_another_run_can_be_named_to_be_compared_with(model, place):
    assert model.compare(model.run.name, place / "tale.txt").difference == 0
    with pytest.raises(RunError, match="no run 'nobody'"):
        model.compare("nobody")


def test_what_names_no_text_is_refused(model):
    for ask in (model.evaluate, lambda text: model.compare(model, text)):
        with pytest.raises(ConfigError, match=r"corpus must be a name, a path or a CorpusConfig, was \['a.txt'\]"):
            ask(["a.txt"])


def test_a_text_of_characters_that_the_vocabulary_lacks_is_told(model, place):
    """Its figures say more of the vocabulary than of the model."""
    other = place / "other.txt"
    other.write_text("日本語の文章。" * 20 + "a cat sat. " * 10)
    said = "140 of 250 characters are not in the vocabulary: each is predicted as its bytes"
    assert said in model.evaluate(other).notices
    assert f"{model.run.name}: {said}" in model.compare(model, other).notices
    assert not any("vocabulary" in notice for notice in model.evaluate(place / "tale.txt").notices)


def test_figures_say_of_which_text_they_are(model, place):
    (place / "other.txt").write_text("a cat sat. " * 10)
    assert model.evaluate(place / "other.txt").to_json()["text"] == "other"
    assert model.evaluate().to_json()["text"] == "tale"
    assert model.compare(model, place / "other.txt").to_json()["text"] == "other"


def test_what_two_runs_were_trained_on_says_little_of_them(model):
    said = f"{model.run.name} was trained on this text (train), so its figure says little"
    assert said in model.compare(model, split="train").notices
    assert said not in model.compare(model, split="validation").notices


def test_names_that_are_none_are_refused(model):
    with pytest.raises(UnknownNameError, match="no precision 'bf16': choose auto, exact, int16, int8"):
        model.evaluate(precision="bf16")
    with pytest.raises(UnknownNameError, match="no engine 'numpy': choose auto, numba, torch"):
        model.evaluate(engine="numpy")
    with pytest.raises(ConfigError, match="precision must be one of auto, exact, int16, int8, was 'bf16'"):
        model.engine("torch", precision="bf16")
    with pytest.raises(ConfigError, match="engine must be one of auto, numba, numpy, torch, was 'onnx'"):
        model.engine("onnx")
    with pytest.raises(UnknownNameError, match="no engine 'torch': choose auto, numba, numpy"):
        model.coder("torch")
