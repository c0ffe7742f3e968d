"""`accelerate` on models of libraries that use torch's layers: the same outputs, and their own fit and predict.

`make test` installs the first, which is small. The others run where they are installed.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recur import accelerate

# What they warn of is theirs.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TRAINED = 1e-4
"""How far float32 weights may be apart after some steps of an optimiser that divides by the size of small gradients."""


def close(found: Any, want: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(want), rtol=tolerance, atol=tolerance)


def sines(num_steps: int = 120) -> np.ndarray:
    return np.sin(np.arange(num_steps) / 4).astype(np.float32)


def test_sb3_contrib() -> None:
    """Reinforcement learning: RecurrentPPO with an LSTM for actor and critic."""
    ppo = pytest.importorskip("sb3_contrib", reason="needs sb3-contrib").RecurrentPPO

    def learn(*, faster: bool) -> tuple[Any, Any]:
        sizes = {"n_steps": 64, "batch_size": 32, "n_epochs": 2, "seed": 0, "device": "cpu"}
        model = ppo("MlpLstmPolicy", "CartPole-v1", **sizes)
        report = accelerate(model.policy) if faster else None
        return model.learn(256), report

    (plain, _), (fast, report) = learn(faster=False), learn(faster=True)
    assert [(entry.name, type(entry.module).__name__) for entry in report.replaced] == [
        ("lstm_actor", "LSTM"),
        ("lstm_critic", "LSTM"),
    ]
    for (name, want), found in zip(plain.policy.state_dict().items(), fast.policy.state_dict().values(), strict=True):
        torch.testing.assert_close(found, want, rtol=TRAINED, atol=TRAINED, msg=name)

    def play(model: Any) -> list[np.ndarray]:
        state, seen = None, []
        env = model.get_env()
        env.seed(1)
        observation, start = env.reset(), np.ones((1,), dtype=bool)
        for _ in range(20):
            action, state = model.predict(observation, state=state, episode_start=start, deterministic=True)
            observation, _, start, _ = env.step(action)
            seen += [action, *state]
        return seen

    with_it = play(fast)
    report.undo()
    for found, want in zip(with_it, play(fast), strict=True):
        close(found, want)


def test_darts(tmp_path: Path) -> None:
    """Forecasting: darts' RNNModel, whose module is made by its fit, so it is accelerated between two of them."""
    models = pytest.importorskip("darts.models", reason="needs darts and its torch extra")
    series = pytest.importorskip("darts").TimeSeries.from_values(sines())
    quiet = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
    for kind in ("RNN", "GRU", "LSTM"):
        plain = models.RNNModel(
            input_chunk_length=12,
            training_length=20,
            model=kind,
            hidden_dim=8,
            n_rnn_layers=2,
            n_epochs=1,
            random_state=0,
            work_dir=str(tmp_path),
            pl_trainer_kwargs=quiet,
        )
        plain.fit(series)
        plain.save(str(tmp_path / "plain.pt"))
        fast = models.RNNModel.load(str(tmp_path / "plain.pt"))
        report = accelerate(fast.model)
        assert [entry.name for entry in report.replaced] == ["rnn"]
        close(fast.predict(20).values(), plain.predict(20).values())
        for model in (plain, fast):
            torch.manual_seed(1)
            model.fit(series, epochs=2)
        close(fast.predict(20).values(), plain.predict(20).values(), TRAINED)
        fast.save(str(tmp_path / f"{kind}.pt"))
        close(models.RNNModel.load(str(tmp_path / f"{kind}.pt")).predict(20).values(), fast.predict(20).values())


def test_neuralforecast() -> None:
    """Forecasting: neuralforecast's LSTM and GRU, fitted from the start."""
    models = pytest.importorskip("neuralforecast.models", reason="needs neuralforecast")
    pandas = pytest.importorskip("pandas")
    forecaster = pytest.importorskip("neuralforecast").NeuralForecast
    dates = pandas.date_range("2020-01-01", periods=120, freq="D")
    frame = pandas.concat([pandas.DataFrame({"unique_id": n, "ds": dates, "y": sines() * (n + 1)}) for n in range(3)])
    options = {"h": 6, "input_size": 12, "max_steps": 8, "random_seed": 1, "accelerator": "cpu", "logger": False}
    options |= {"enable_progress_bar": False, "enable_checkpointing": False}

    def fit(*, faster: bool) -> Any:
        made = [models.LSTM(**options, encoder_hidden_size=8), models.GRU(**options, encoder_hidden_size=8)]
        for model in made if faster else ():
            assert [entry.name for entry in accelerate(model).replaced] == ["hist_encoder"]
        whole = forecaster(models=made, freq="D")
        whole.fit(frame)
        return whole

    plain, fast = fit(faster=False), fit(faster=True)
    want, found = plain.predict(), fast.predict()
    close(found[["LSTM", "GRU"]], want[["LSTM", "GRU"]], TRAINED)
    for model in plain.models:
        accelerate(model)
    close(plain.predict()[["LSTM", "GRU"]], want[["LSTM", "GRU"]])


def test_flair(tmp_path: Path) -> None:
    """Tagging: flair's SequenceTagger, a bidirectional LSTM on packed sentences over an LSTM on characters."""
    data = pytest.importorskip("flair.data", reason="needs flair")
    tagger_class = pytest.importorskip("flair.models").SequenceTagger
    characters = pytest.importorskip("flair.embeddings").CharacterEmbeddings
    trainer = pytest.importorskip("flair.trainers").ModelTrainer

    def sentence(text: str) -> Any:
        made = data.Sentence(text)
        for token in made:
            token.add_label("kind", "UP" if token.text[0].isupper() else "LOW")
        return made

    def sentences() -> list[Any]:
        return [sentence(text) for text in ("Ann sees Bob", "she runs", "Rome is old and Athens older", "go")]

    corpus = data.Corpus(train=sentences(), dev=sentences(), test=sentences())
    labels = corpus.make_label_dictionary("kind", add_unk=False)
    letters = data.Dictionary()
    for letter in set("".join(each.to_plain_string() for each in sentences())):
        letters.add_item(letter)
    torch.manual_seed(0)
    options = {"hidden_size": 16, "tag_dictionary": labels, "tag_type": "kind", "dropout": 0, "word_dropout": 0}
    plain = tagger_class(embeddings=characters(letters), **options, locked_dropout=0, use_crf=True)
    fast = copy.deepcopy(plain)
    report = accelerate(fast)
    assert {entry.name for entry in report.replaced} == {
        "rnn",
        "embeddings.char_rnn" if hasattr(plain.embeddings, "char_rnn") else "embeddings.list_embedding_0.char_rnn",
    }

    def scores(tagger: Any) -> np.ndarray:
        tagger.eval()
        with torch.no_grad():
            return tagger.forward(*tagger._prepare_tensors(sorted(sentences(), key=len, reverse=True)))[0].numpy()

    close(scores(fast), scores(plain))
    for name, tagger in (("plain", plain), ("fast", fast)):
        torch.manual_seed(1)
        trainer(tagger, corpus).train(
            str(tmp_path / name), max_epochs=2, learning_rate=0.1, mini_batch_size=2, shuffle=False
        )
    close(scores(fast), scores(plain), TRAINED)
    for tagger in (plain, fast):
        made = sentences()
        tagger.predict(made)
        assert all(token.get_label("kind").value in ("UP", "LOW") for each in made for token in each)


def test_stanza() -> None:
    """Tagging: what stanza's taggers and parsers run, on packed sentences, in its two kinds, of layers and of cells."""
    packed_lstm = pytest.importorskip("stanza.models.common.packed_lstm", reason="needs stanza").PackedLSTM
    for dropped, count in ((0, 1), (0.3, 4)):
        model = packed_lstm(4, 6, 2, batch_first=True, bidirectional=True, pad=True, rec_dropout=dropped).double()
        model.eval()
        x, lengths = torch.randn(3, 5, 4, dtype=torch.float64), [5, 3, 1]
        state = tuple(torch.randn(4, 3, 6, dtype=torch.float64) for _ in range(2))
        want = model(x, lengths, hx=state)
        assert len(accelerate(model).replaced) == count
        found = model(x, lengths, hx=state)
        for one, other in zip((found[0], *found[1]), (want[0], *want[1]), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_pytorch_forecasting() -> None:
    """Forecasting: pytorch-forecasting has subclasses of torch's layers, which are left, and told."""
    rnn = pytest.importorskip("pytorch_forecasting.models.nn.rnn", reason="needs pytorch-forecasting")
    report = accelerate(torch.nn.Sequential(rnn.LSTM(3, 5)))
    assert not report.replaced
    assert "LSTM is a subclass of torch.nn.LSTM" in report.left[0].reason
