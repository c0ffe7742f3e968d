"""What the docs quote from benchmarks is what was recorded; and the benchmarks of the layers, on tiny shapes."""

import dataclasses
import functools
import importlib
import io
import json
import math
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from recur.data.series.label_options import NumberOptions
from recur.data.series.options import SeriesOptions
from recur.measure.layers import Side, beside_torch, distance, side_of
from recur.models.detector_options import DetectorOptions
from recur.tasks.detect.trained import Scored
from recur.train.options import LabelTrainingOptions, PairTrainingOptions, SeriesTrainingOptions, TextTrainingOptions


def test_the_table_of_memory(root):
    sections = (root / "docs" / "layers.md").read_text(encoding="utf-8").split("\n## ")
    section = next(section for section in sections if section.startswith("What remembers how long"))
    lines = [line.replace("*", "").strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    header, chance, *rows = [line for line in lines if not line[0].startswith("---")]
    cells = {(row[0], task): cell for row in rows for task, cell in zip(header[1:], row[1:], strict=True)}
    quoted = {key: cell for key, cell in cells.items() if cell != "-"}
    recorded = [
        entry
        for path in sorted((root / "benchmarks" / "results").glob("memory_*.json"))
        for entry in json.loads(path.read_text(encoding="utf-8"))["results"]
    ]
    assert quoted == {(e["layer"], e["task"]): f"{e['figure']:.3f} ({e['steps']:,})" for e in recorded}
    by_chance = {e["task"]: f"{e['chance']:.3f}" for e in recorded}
    assert dict(zip(header[1:], chance[1:], strict=True)) == by_chance


def test_the_table_of_targets(root, module):
    quoted = (root / "docs" / "speed.md").read_text(encoding="utf-8")
    assert module("targets").markdown() in quoted


def test_the_table_of_streams(root, module):
    quoted = (root / "docs" / "tasks" / "streams.md").read_text(encoding="utf-8")
    assert module("streams").markdown() in quoted


def test_the_table_of_long_sequences(root, module):
    quoted = (root / "docs" / "gradients" / "long.md").read_text(encoding="utf-8")
    assert module("long_sequences").markdown() in quoted


def test_the_table_of_anomalies(root, module):
    quoted = (root / "docs" / "tasks" / "anomalies.md").read_text(encoding="utf-8")
    assert module("anomalies").markdown() in quoted


def test_the_table_of_labels(root, module):
    quoted = (root / "docs" / "tasks" / "labels.md").read_text(encoding="utf-8")
    assert module("series_labels").markdown() in quoted


def test_the_tables_of_translators(root, module):
    quoted = (root / "docs" / "tasks" / "translate.md").read_text(encoding="utf-8")
    for name in ("translation_step", "translation_decoding"):
        assert module("translation").markdown(name) in quoted


def test_the_table_of_classes_of_texts(root, module):
    quoted = (root / "docs" / "tasks" / "text.md").read_text(encoding="utf-8")
    assert module("text_classes").markdown() in quoted


@pytest.mark.parametrize("name", ["pronunciations", "commands", "puzzles", "sentences", "conversations"])
def test_the_tables_of_texts(name, root, module):
    quoted = (root / "docs" / "tasks" / "text.md").read_text(encoding="utf-8")
    assert module("text_pairs").markdown(name) in quoted
    assert name != "pronunciations" or module("text_pairs").markdown_by_language() in quoted


@pytest.mark.parametrize("name", ["series_summary", "forecasts", "forecasts_public", "forecast_peers"])
def test_the_tables_of_forecasts(name, root, module):
    quoted = (root / "docs" / "tasks" / "series.md").read_text(encoding="utf-8")
    assert module(name).markdown() in quoted


# --- the benchmarks of the layers -----------------------------------------------------------------------------------


@pytest.fixture
def module(root, monkeypatch):
    """A function that imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    monkeypatch.setattr("recur.measure.timing._SAMPLE", 1e-5)
    monkeypatch.setattr("recur.engine.num_threads", lambda: 1)
    monkeypatch.setattr("recur.engine.peak_flops", lambda dtype, threads: 1e12 * threads, raising=False)
    return importlib.import_module


def row(kind, factor, **more):
    work = {"kind": kind, "steps": 100, "batch_size": 16, "hidden_size": 128, "input_size": 128}
    work |= {"num_layers": 1, "bidirectional": False} | more.pop("work", {})
    figures = {"ours": {"median": 2.0}, "peer": {"median": 2.0 * factor}, "ratio": {"median": 1 / factor}, "unit": "ms"}
    given = {"what": kind, "work": work, "threads": 2, "backend": "cpu", "peer_name": "torch", "share_of_peak": 0.5}
    return given | figures | more


def test_every_benchmark_is_described(root, module):
    names = set(module("run").BENCHMARKS)
    described = (root / "benchmarks" / "README.md").read_text(encoding="utf-8")
    listed = {name for line in described.splitlines() for name in re.findall(r"`(\w+)`", line.partition(" | ")[0])}
    assert names <= listed
    assert set(module("run").LONG) < names


def test_a_result_is_json_with_a_line_for_each_row(module):
    head = {"environment": {"cpu": {}, "threads": {"torch": 2}}, "commit": "a1"}
    rows = [row("gru", 2.0), {"what": "x", "missing": "y"}]
    text = module("run")._text(head, rows)
    assert json.loads(text) == head | {"results": rows}
    assert text.endswith("}\n")
    assert [json.loads(line.strip().rstrip(",")) for line in text.splitlines()[-4:-2]] == rows
    assert json.loads(module("run")._text(head, [])) == head | {"results": []}


def test_every_row_has_a_line(module):
    spread = {"median": 2.0, "lower": 1.0, "upper": 3.0}
    timed = row("gru", 2.0, ours=spread, ratio=spread)
    line = module("run")._line
    assert line(timed) == ("gru: 2 (1 to 3) ms, torch 4, ratio 2.000 (1.000 to 3.000), 2 threads, back end cpu")
    assert line(row("gru", 2.0)) == "gru: 2 ms, torch 4, ratio 0.500, 2 threads, back end cpu"
    assert line({"what": "x", "missing": "jax"}) == "x: missing: jax"
    assert line({"what": "x", "disagrees": "dx", "ours": spread}) == "x: disagrees: dx"
    assert line({"what": "x", "left_out": ["a", "b"]}) == "x: 2 left out"
    assert line({"what": "x", "unit": "s", "ours": spread}) == "x: 2 (1 to 3) s"


def test_cells_of_the_grid(module):
    layers = module("layers")
    works = layers.grid("gru")
    assert len(set(works)) == len(works) == 7 * 4 * 6 + 4 * 2 * 3
    assert {work.kind for work in works} == {"gru"}
    assert {work.num_layers for work in works} == {1, 3}
    assert {work.bidirectional for work in works} == {False, True}
    assert any(work.input_size != work.hidden_size for work in works)


def test_training_rows_say_all_that_a_result_needs(module, monkeypatch):
    layers = module("layers")
    monkeypatch.setattr(layers, "thread_counts", lambda: [1])
    monkeypatch.setattr(layers, "MOST_FLOPS", 1e5)
    works = [layers.work("rnn", 2, 3, 4), layers.work("rnn", 100, 64, 256)]
    monkeypatch.setitem(layers.WORKS, "few", lambda kind: works)
    monkeypatch.setitem(layers.PACE, "few", {"budget": 0.0})
    first, left = layers.against_torch("few", ["rnn"], "default")
    assert left["left_out"] == [str(works[1])]
    assert {"what", "work", "threads", "backend", "distance", "ours", "peer", "ratio", "unit"} < set(first)
    assert (first["peer_name"], first["allocator"], first["threads"]) == ("torch", "default", 1)
    assert first["share_of_peak"] == pytest.approx(works[0].flops / (first["ours"]["median"] * 1e-3) / 1e12)
    assert first["gflops_per_second"] == pytest.approx(1000 * first["share_of_peak"])


def test_rows_of_the_linear_layer(module, monkeypatch):
    linear = module("layer_linear")
    assert len(set(linear.sizes("grid"))) == len(linear.sizes("grid")) == 8 * 5 * 7
    monkeypatch.setattr(linear, "thread_counts", lambda: [1])
    monkeypatch.setattr(linear, "sizes", lambda which: [(2, 3, 4), (4096, 4096, 8192)])
    monkeypatch.setitem(linear.PACE, "few", {"budget": 0.0})
    rows = list(linear.linear("few"))
    timed = [row for row in rows if "ratio" in row]
    assert [(row["work"]["dtype"], row["work"]["training"]) for row in timed] == [
        (dtype, training) for dtype in ("float32", "float64") for training in (False, True)
    ]
    assert {row["backend"] for row in timed} == {"torch"}
    assert [row["left_out"] for row in rows if "left_out" in row] == [[(4096, 4096, 8192)]] * 4
    assert linear.flops((2, 3, 4), True) == 3 * linear.flops((2, 3, 4), False) == 144


def test_a_row_that_disagrees_has_no_speed(module):
    assert module("layers").rated(lambda: {"what": "x", "disagrees": "y"}, 10) == {"what": "x", "disagrees": "y"}


def test_the_share_is_of_the_faster_peak_beside_a_row(module, monkeypatch):
    peaks = iter([1e12, 3e12])
    monkeypatch.setattr("recur.engine.peak_flops", lambda dtype, threads: next(peaks))
    rated = module("layers").rated(lambda: {"ours": {"median": 2.0}}, 3e9)
    assert (rated["gflops_per_second"], rated["share_of_peak"]) == (1500.0, 0.5)


def test_missing_peers_are_named(module, monkeypatch):
    layers, peers = module("layers"), module("peers")
    assert peers.missing("torch") is None
    assert peers.missing("torch", "no_such_package").startswith("no_such_package not installed (pip install")
    monkeypatch.setattr(peers, "missing", lambda *names: " ".join(names))
    assert list(layers.jax()) == [{"what": "training against JAX", "missing": "jax"}]


def test_options_and_what_torch_has_for_them(module, monkeypatch):
    options = module("layer_options")
    monkeypatch.setattr(options, "SHAPES", ((3, 2, 5),))
    monkeypatch.setattr(options, "BUDGET", 0.0)
    rows = [*options.options(), *options.ragged_and_projected()]
    assert [each for each in rows if "disagrees" in each or "ratio" not in each] == []
    measured = {each["work"].get("option") for each in rows if each["work"]["kind"] == "lstm"}
    assert {"layer_norm", "zoneout", "peephole", "coupled", "cell_clip", "lengths", "reset"} < measured
    assert {each["peer_name"] for each in rows} == {"recur without it", "torch"}


def test_the_norm_loop_in_plain_torch_is_recurs_layer(module):
    options, peers = module("layer_options"), module("peers")
    x, upstream = options.data(7, 3, 5)
    ours = side_of(options.made("lstm", 5, layer_norm=True, backend="reference"), x, upstream)
    results = ours.results(), peers.norm_lstm_side(ours, is_compiled=False).results()
    assert distance(*results)[0] < 1e-5


def test_an_option_that_is_wrong_is_not_timed(module, monkeypatch):
    options = module("layer_options")
    monkeypatch.setattr(options, "SHAPES", ((3, 2, 5),))
    monkeypatch.setattr(options, "BUDGET", 0.0)
    monkeypatch.setattr(options, "LAYERS", {"lstm": options.LAYERS["lstm"]})
    made = options.made

    def spoiled(kind, units, **more):
        return made(kind, units, **more | ({"cell_clip": 0.1} if more.get("backend") and more.get("cell_clip") else {}))

    monkeypatch.setattr(options, "made", spoiled)
    wrong = [each["work"]["option"] for each in options.options() if "disagrees" in each]
    assert wrong == ["cell_clip"]


def test_memory_that_is_held_is_counted(module):
    costs = module("layer_costs")
    if costs.allocated() is None:
        pytest.skip("this C library does not tell what is allocated")
    _, ours, _ = beside_torch(module("layers").work("gru", 50, 20, 64))
    output = 4 * 50 * 20 * 64
    assert output < costs.held(ours) < 40 * output
    inference = Side(lambda x: (x + 1, ()), ours.x.detach())
    assert costs.held(inference) == pytest.approx(output, rel=0.1)


def test_errors_are_those_against_float64(module):
    costs = module("layer_costs")
    layer, ours, peer = beside_torch(module("layers").work("lstm", 3, 2, 5))
    truth = costs.in_float64(layer, "lstm", ours)
    assert truth.x.dtype == torch.float64
    found = costs._errors("what", {}, "cpu", "torch", [(ours, peer, truth)])
    assert 0 < found["worst"]["ours"] < 1e-6
    wrong = Side(lambda x: (ours.call(x)[0] + 0.1, ours.call(x)[1]), ours.x, ours.weights, ours.upstream)
    found = costs._errors("what", {}, "cpu", "torch", [(wrong, peer, truth)])
    assert found["tensor"] == "output"
    assert found["disagrees"].startswith("output is ")


def test_single_steps(module):
    with torch.inference_mode():
        rows = list(module("layer_costs")._steps("lstm", 4))
    peers = ["torch's layer", "torch's cell", "torch's cell", "torch's cell"]
    assert [each["peer_name"] for each in rows] == peers
    assert "PackedStepper" in rows[-1]["what"]
    assert {each["unit"] for each in rows} == {"us"}


def test_rows_of_another_process(module):
    pythonpath = Path(module("child").__file__).parent
    assert pythonpath.name == "benchmarks"
    with pytest.raises(RuntimeError, match=r"^layers\.no_such ended with 1 in its own process$"):
        list(module("child").rows("layers", "no_such"))


class CharacterModel(torch.nn.Module):
    """What the benchmark uses of Stanza's model."""

    def __init__(self, args, vocab):
        super().__init__()
        self.vocab = vocab["char"]
        self.embedding = torch.nn.Embedding(len(self.vocab), args["char_emb_dim"])
        self.lstm = torch.nn.LSTM(args["char_emb_dim"], args["char_hidden_dim"], batch_first=True)
        self.decoder = torch.nn.Linear(args["char_hidden_dim"], len(self.vocab))

    def char_vocab(self):
        return types.SimpleNamespace(map=lambda characters: [self.vocab.index(each) for each in characters])

    def forward(self, chars, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(self.embedding(chars), lengths, batch_first=True)
        output, state = self.lstm(packed)
        output = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True)[0]
        return output, state, self.decoder(output)

    def build_char_representation(self, sentences):
        with torch.no_grad():
            return [
                self(torch.tensor([self.char_vocab().map(" ".join(words))]), [len(" ".join(words))])[0][0]
                for words in sentences
            ]


def test_a_model_of_others_before_and_after(module, monkeypatch):
    third_party = module("third_party")
    vocabulary = lambda path: sorted(set(Path(path).read_text(encoding="utf-8")) | {" "})  # noqa: E731
    theirs = types.ModuleType("stanza.models.common.char_model")
    theirs.CharacterLanguageModel, theirs.build_charlm_vocab = CharacterModel, vocabulary
    for name in ("stanza", "stanza.models", "stanza.models.common"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, theirs.__name__, theirs)
    monkeypatch.setattr("peers.missing", lambda *names: None)
    monkeypatch.setattr(third_party, "BUDGET", 1e-3)
    rows = list(third_party.accelerated(hidden_size=8, sentences=3, steps=5))
    assert len(rows) == 2
    for row in rows:
        assert row["replaced"] == 1
        assert row["left"] == 0
        assert row["backend"] == "cpu"
        assert row["distance"] < 1e-5
        assert row["ours"]["median"] > 0
    monkeypatch.setattr("peers.missing", lambda *names: f"{names} not installed")
    (row,) = third_party.accelerated()
    assert "stanza" in row["missing"]


def test_the_plain_program_ends_with_the_time_of_a_step(module, tmp_path):
    plain, main_job = module("plain"), module("main_job")
    (tmp_path / "text.txt").write_text(main_job.text(), encoding="utf-8")
    command = main_job.plain_command(tmp_path / "text.txt", plain.WARM + 2, plain.Job(cell="rnn"))
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines[0].startswith("0 ")
    assert 0 < float(lines[-1]) < 60_000


def test_the_newest_result_is_found_by_its_date(module, monkeypatch, tmp_path):
    table = module("table")
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    assert table.newest("layers_training") is None
    for name in ("training_zz_2026-01-02", "training_aa_2026-02-01", "training_grid_aa_2026-03-01"):
        (tmp_path / f"layers_{name}.json").write_text("{}")
    assert table.newest("layers_training").name == "layers_training_aa_2026-02-01.json"
    assert table.newest("layers_training_grid").name == "layers_training_grid_aa_2026-03-01.json"


def test_the_table_of_layers(module):
    kept = row("lstm", 1.5, allocator="keeps freed memory")
    small = row("gru", 8.0, share_of_peak=0.1, work={"batch_size": 1})
    rows = [row("gru", 2.0), small, kept, {"what": "x", "missing": "jax"}, row("rnn", 1.0, disagrees="dx is 1 apart")]
    console = Console(file=io.StringIO(), width=150)
    module("table").show(rows, console)
    _, gru, lstm, *said = console.file.getvalue().splitlines()
    assert gru.split() == ["torch", "2", "gru", "2", "4.00", "2.00", "8.00", "50", "to", "50", "cpu"]
    assert lstm.startswith("torch, keeps freed memory  2")
    assert said == ["x: missing: jax", "rnn: disagrees: dx is 1 apart"]


def test_targets_are_judged(module, monkeypatch, tmp_path):
    targets, table = module("targets"), module("table")
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    monkeypatch.setattr(targets, "RESULTS", tmp_path)
    by_name = {target.what: target for target in targets.TARGETS}
    gru = by_name["GRU and RNN training against torch, mean"]
    assert targets.measured(gru, "maker-a") is None
    rows = [row("gru", 2.0), row("rnn", 8.0), row("lstm", 1.0), row("gru", 100.0, disagrees="dx")]
    for brand, found in (("Maker(R) A Processor", rows), ("Maker B", rows[:1])):
        slug = brand.lower().replace("(r)", "").replace(" processor", "").replace(" ", "-")
        content = {"environment": {"cpu": {"brand": brand}}, "results": found}
        (tmp_path / f"layers_training_{slug}_2026-01-01.json").write_text(json.dumps(content))
    assert targets.measured(gru, "maker-a") == pytest.approx(4.0)
    assert targets.measured(gru, "maker-b") == pytest.approx(2.0)
    heading, *body = targets.rows()
    assert heading == ["what", "wanted", "Maker A", "Maker B"]
    assert [gru.what, "at least 3x", "4x", "2x, missed"] in body
    assert ["tinyshakespeare in three minutes", "at most 1.46 nats", "not measured", "not measured"] in body
    assert gru.holds(4.0)
    assert not gru.holds(2.9)
    assert targets.measured(by_name["the same at T = 1000, mean"], "maker-a") is None
    memory = by_name["memory held for backward by torch's, worst"]
    assert memory.holds(0.9)
    assert not memory.holds(1.1)
    norm = [row("lstm", 20.0, what="a"), row("lstm", 5.0, what="a"), row("lstm", 6.0, what="b")]
    assert targets.best_peer(norm, lambda each: True) == pytest.approx(5.0)


def test_the_picture_shows_every_batch_and_names_the_machine(module):
    sizes = [
        {"batch_size": batch, "hidden_size": units, "input_size": units} for batch in (1, 16) for units in (64, 32)
    ]
    rows = [row(kind, 2.0, work=size, allocator="default") for kind in ("rnn", "gru", "lstm") for size in sizes]
    rows += [row("gru", 9.0, work=sizes[0], allocator="keeps freed memory"), {"what": "x", "missing": "y"}]
    environment = {"cpu": {"brand": "Maker X", "isa": "avx2"}, "versions": {"torch": "2.0"}}
    figure = module("plot").draw({"environment": environment, "results": rows})
    upper = figure.axes[1]
    assert upper.get_title() == "GRU"
    drawn = {line.get_label(): line.get_xydata().tolist() for line in upper.lines}
    assert drawn["B 16"] == [[32, 2.0], [64, 2.0]]
    assert drawn["B 1"] == [[32, 2.0], [64, 2.0]]
    assert "Maker X (avx2), 2 threads, torch 2.0" in figure.get_suptitle()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the height of memory is told in another unit")
def test_rows_of_long_sequences(module, monkeypatch):
    long = module("long_sequences")
    monkeypatch.setattr(long, "STEPS", 90)
    monkeypatch.setattr(long, "REPEATS", 2)
    monkeypatch.setattr(long, "WAYS", {"LSTM": [{}, {"recompute": 9}, {"memory": 0.6}]})
    monkeypatch.setattr(long.child, "rows", lambda module, function, **given: getattr(long, function)(**given))
    whole, again, budget = long.budgets()
    assert whole["slowdown"]["median"] == whole["slowdown_by_schedule"]["median"] == whole["passes"] == 1
    assert again["what"] == "training LSTM, T 90, B 8, I 16, H 128, recompute=9: memory at its height"
    assert again["slowdown"]["repeats"] == 2
    assert budget["planned_mib"] <= 0.6
    assert 1 < budget["passes"] < 4
    assert budget["slowdown_by_schedule"]["median"] > 1
    assert module("run")._line(budget).endswith("MiB, 1 threads, back end cpu")


def test_rows_of_streams(module):
    streams = module("streams")
    work = streams.Work(num_series=3, hidden_size=4, history=6)
    found = list(streams.points(repeats=2, work=work))
    assert [row["push"] for row in found] == [
        "1 row of each series a push",
        "20 rows of each series a push",
        "one row a push",
    ]
    for row in found:
        assert row["points_per_second"] == pytest.approx(1e6 / row["ours"]["median"])
        assert row["p99"] >= row["ours"]["median"] > 0
    assert module("run")._line(found[0]).endswith("µs a point, 1 threads, back end cpu")


def test_rows_of_forecasts(module, monkeypatch, tmp_path):
    forecasts = module("forecasts")
    steps = np.arange(120)
    lines = [f"2024-01-01T00:00:{step:02},{np.sin(step):.4f}" for step in steps[:60]]
    (tmp_path / "waves.csv").write_text("time,y\n" + "\n".join(lines) + "\n")
    monkeypatch.setenv("RECUR_DATA", str(tmp_path))
    monkeypatch.setattr(forecasts, "SeriesTrainingOptions", functools.partial(SeriesTrainingOptions, max_steps=2))
    row = forecasts.forecast("waves.csv", SeriesOptions(horizon=2), 3)
    assert (row["horizon"], row["seed"], row["steps"]) == (2, 3, 2)
    assert row["training"]["seed"] == 3
    assert row["figure"] == row["figures"]["rmse"] > 0
    assert set(row["rules"]) == {"naive", "seasonal naive", "drift", "mean"}
    assert module("run")._line(row).startswith("waves.csv, 2 ahead, defaults, seed 3: ")


def test_the_scoring_of_the_numenta_benchmark_by_hand(module):
    nab = module("nab")
    values, times = np.zeros(100), np.datetime64("2024-01-01", "ms") + np.arange(100) * np.timedelta64(5, "m")
    data = {"a": nab.Series(times=times, values=values, windows=((40, 49), (70, 79)))}
    assert data["a"].probation == 15
    scores = np.zeros(100)
    scores[[3, 40]] = 1.0
    # Nothing counts in the probation; the first step of a window is worth all of it, and the other window is missed.
    assert nab.score({"a": scores}, data, "standard") == pytest.approx(50)
    scores[79] = 1.0
    last = 2 / (1 + math.exp(-0.5)) - 1
    whole = 2 / (1 + math.exp(-5)) - 1
    assert nab.score({"a": scores}, data, "standard") == pytest.approx(100 * (3 + last / whole) / 4)
    scores[20] = 1.0
    # One threshold for all; a false alarm far from any window costs 0.11, or 0.22.
    assert nab.score({"a": scores}, data, "standard") == pytest.approx(100 * (3 + last / whole - 0.11) / 4)
    assert nab.score({"a": scores}, data, "low false positives") == pytest.approx(100 * (3 + last / whole - 0.22) / 4)
    rarely_missed = nab.score({"a": scores}, data, "low false negatives")
    assert rarely_missed == pytest.approx(100 * (5 + last / whole - 0.11) / 6)
    # A threshold that is given stays, where another one were better.
    scores[[21, 22]] = 0.5
    assert nab.score({"a": scores}, data, "standard", 0.4) == pytest.approx(100 * (3 + last / whole - 0.33) / 4)
    assert nab.score({"a": scores}, data, "standard", 0.5) == pytest.approx(100 * (3 + last / whole - 0.11) / 4)
    assert nab.score({"a": scores}, data, "standard", 1.0) == 0


def test_the_windowed_gaussian_by_hand(module):
    nab = module("nab")
    values = np.random.default_rng(0).standard_normal(60)
    found = nab.windowed_gaussian(values, size=20, step=5)
    for row in (1, 10, 19, 24, 42, 59):
        begin = 0 if row <= 20 else 5 * ((row - 20) // 5)
        before = values[begin : min(row, begin + 20)]
        deviation = before.std() or 1e-6
        wanted = 1 - 0.5 * math.erfc(abs(values[row] - before.mean()) / deviation / math.sqrt(2))
        assert found[row] == pytest.approx(wanted, abs=1e-9)


def test_alarms_of_the_numenta_benchmark_begin_as_those_that_users_get(module):
    score = np.array([np.nan, 1.0, 6.0, 9.0, 5.5, 0.0, 0.0, 7.0])
    # The highest of two steps before each.
    highest = np.array([-np.inf, -np.inf, 1.0, 6.0, 9.0, 9.0, 5.5, 0.0])
    found = Scored(score=score, channels=score[:, None], highest=highest)
    anomalies = module("anomalies")
    # The step after an alarm is higher, and begins none.
    assert anomalies.begun(found, 5.0).tolist() == [0.0, 0.0, 6.0, 0.0, 0.0, 0.0, 0.0, 7.0]
    assert anomalies.begun(found, 8.0).tolist() == [0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0]
    assert anomalies.rising(found).tolist() == [0.0, 1.0, 6.0, 9.0, 0.0, 0.0, 0.0, 7.0]


def test_rows_of_anomalies(module, monkeypatch):
    anomalies, nab = module("anomalies"), module("nab")
    rng = np.random.default_rng(0)
    data = {}
    for name, count, minutes in (("one", 1000, 60), ("two", 1400, 30)):
        times = np.datetime64("2024-01-01", "ms") + np.arange(count) * np.timedelta64(minutes, "m")
        data[name] = nab.Series(times=times, values=rng.standard_normal(count), windows=((700, 720),))
    monkeypatch.setattr(anomalies, "SeriesTrainingOptions", functools.partial(SeriesTrainingOptions, max_steps=2))
    rows = list(anomalies.detectors(data, 3, DetectorOptions(hidden_size=4, history=16)))
    assert [row["detector"] for row in rows] == [
        "recur, both",
        "recur, both, false_alarms=0.01",
        "recur, both, false_alarms=0.001",
        "recur, both, false_alarms=0.0001",
        "recur, network alone",
        "recur, rule alone",
    ]
    assert [row["threshold"] is None for row in rows] == [True, False, False, False, True, True]
    assert rows[1]["threshold"] < rows[2]["threshold"] < rows[3]["threshold"]
    assert all(set(row["scores"]) == set(nab.PROFILES) and row["seed"] == 3 for row in rows)
    assert module("run")._line(rows[0]).startswith("recur, both, seed 3: ")


def test_rows_of_text_classes(module, monkeypatch, tmp_path):
    texts = module("text_classes")
    (tmp_path / "names").mkdir()
    for name, ending in (("Rome", "us"), ("Athens", "os")):
        words = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}{ending}" for n in range(60)]
        (tmp_path / "names" / f"{name}.txt").write_text("\n".join(words) + "\n")
    monkeypatch.setenv("RECUR_DATA", str(tmp_path))
    monkeypatch.setattr(texts, "TextTrainingOptions", functools.partial(TextTrainingOptions, max_steps=2))
    job = texts.Job(name="names", said="drawn", prepared=texts.drawn_alike)
    row = texts.told(job, 3)
    assert (row["seed"], row["steps"], row["measure"], row["figures"]["num_told"]) == (3, 2, "accuracy", 24)
    assert row["rule"] == 1
    assert module("run")._line(row).startswith("names, drawn, defaults, seed 3: ")
    parts = {}
    for seed in (3, 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        texts.drawn_alike(tmp_path / "names", folder, seed)
        parts[seed] = {path.stem: path.read_text().split("\n")[1:-1] for path in folder.iterdir()}
    assert {name: len(lines) for name, lines in parts[3].items()} == {"train": 92, "valid": 4, "test": 24}
    assert len({line for lines in parts[3].values() for line in lines}) == 120
    assert parts[3]["test"] != parts[4]["test"]


def test_rows_of_text_pairs(module, monkeypatch, tmp_path):
    pairs = module("text_pairs")
    words = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(240)]
    for part, chosen in (("train", words[::2]), ("dev", words[1::4]), ("test", words[3::4])):
        folder = tmp_path / "sigmorphon2020-g2p" / part
        folder.mkdir(parents=True)
        lines = "".join(f"{word}\t{' '.join(word.upper())}\n" for word in chosen)
        (folder / f"fre_{part}.tsv").write_text(lines)
    monkeypatch.setenv("RECUR_DATA", str(tmp_path))
    monkeypatch.setattr(pairs, "PairTrainingOptions", functools.partial(PairTrainingOptions, max_steps=2))
    row = pairs.told(pairs.Job(name="g2p", of="fre", data=pairs.of_language("fre")), 3)
    assert (row["seed"], row["steps"], row["measure"]) == (3, 2, "exact match")
    assert row["figure"] == row["figures"]["exact"] == 1 - row["figures"]["wrong"]
    assert module("run")._line(row).startswith("g2p fre, defaults, seed 3: ")
    found = (("a", 0, 0.5), ("b", 0, 0.7), ("a", 1, 0.8), ("b", 1, 0.8))
    rows = [row | {"of": of, "seed": seed, "figures": {"exact": figure}} for of, seed, figure in found]
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"results": rows}))
    monkeypatch.setattr(pairs.table, "newest", lambda name: path)
    line = pairs.markdown("any").splitlines()[2]
    assert line.startswith("| `g2p` | defaults | exact match | 70.00% | 60.00%, 80.00% | ")
    assert pairs.markdown_by_language("any").splitlines() == [
        "| wrong words | defaults |",
        "| --- | --- |",
        "| a | 35.00% |",
        "| b | 25.00% |",
        "| mean | 30.00% |",
    ]
    together = pairs.together(
        pairs.Job(name="g2p", of="fre", data=pairs.of_language("fre"), measures=("perplexity", "exact")),
        [pairs.trained(pairs.Job(name="g2p", of="fre", data=pairs.of_language("fre")), 3, tmp_path)[1]] * 2,
    )
    assert together["figure"] == pytest.approx(row["figures"]["perplexity"])
    path.write_text(json.dumps({"results": [together]}))
    line = pairs.markdown("any").splitlines()[2]
    assert re.fullmatch(r"\| `g2p` \| 2 seeds together \| perplexity \| ([\d.]+) \| \1 \| trigram [\d.]+ \|  \|", line)


def test_puzzles_have_parts_of_their_own(module, monkeypatch, tmp_path):
    puzzles, pairs = module("text_puzzles"), module("text_pairs")
    monkeypatch.setattr(puzzles, "SIZES", {"train": 40, "valid": 5, "test": 5})
    for name in puzzles.PUZZLES:
        parts = puzzles.parts(name, 0)
        sources = [source for sources, _ in parts.values() for source in sources]
        assert len(set(sources)) == len(sources) == 50
        assert parts != puzzles.parts(name, 1)
    rules = {
        "copy": lambda text: text,
        "reverse": lambda text: text[::-1],
        "sort": lambda text: "".join(sorted(text)),
        "addition": lambda text: str(sum(map(int, text.split("+")))),
    }
    for name, rule in rules.items():
        assert all(rule(source) == target for source, target in zip(*puzzles.parts(name, 2)["train"], strict=True))
    dates = dict(zip(*puzzles.parts("dates", 2)["train"], strict=True))
    known = [(source, target) for source, target in dates.items() if re.fullmatch(r"\d\d/\d\d/\d{4}", source)]
    assert known
    assert all(f"{source[6:]}-{source[:2]}-{source[3:5]}" == target for source, target in known)
    monkeypatch.setattr(pairs, "PairTrainingOptions", functools.partial(PairTrainingOptions, max_steps=2))
    row = pairs.told(pairs.Job(name="reverse", of="", data=pairs.of_puzzle("reverse")), 0)
    assert row["tokens"]["source_tokens"] == row["tokens"]["target_tokens"] == "character"
    assert row["steps"] == 2


def small(work):
    shape = dataclasses.replace(work.shape, hidden_size=8, embedding_size=4, vocabulary=60)
    return dataclasses.replace(work, batch_size=3, shortest=2, longest=5, shape=shape)


def test_training_of_translators_is_timed_beside_plain_torch(module, monkeypatch, tmp_path):
    timed, run = module("translation"), module("run")
    works = [small(timed.WORKS[number]) for number in (1, 2, 5)]
    rows = list(timed.step(blocks=1, steps=3, works=works))
    assert [row["peer_name"] for row in rows if row["work"]["is_mixed"]] == [
        "plain PyTorch, packed",
        "plain PyTorch, padded",
        "plain PyTorch, packed, step by step",
        "recur, padded",
        "plain PyTorch, padded",
    ]
    # With input feeding all networks go from step to step.
    assert len(rows) == 3 + 2 + 5
    for row in rows:
        assert row["ratio"]["median"] > 0
        assert run._line(row).startswith("training step, ")
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"results": rows}))
    monkeypatch.setattr(timed.table, "newest", lambda name: path)
    last = timed.markdown("translation_step").splitlines()[-1]
    assert last.startswith("| sentences, lengths mixed, 1 layer, V 60: plain PyTorch, packed | ")


def test_a_plain_translator_that_loses_something_else_is_found_out(module, monkeypatch):
    timed = module("translation")
    work = small(timed.WORKS[0])
    assert timed.verify(work)["backend"] == "cpu"
    monkeypatch.setattr(module("plain_translation").PlainTranslator, "_mixed", lambda self, s_TBH, memory: s_TBH)
    with pytest.raises(AssertionError):
        timed.verify(work)


def test_writing_is_timed_beside_plain_torch(module, monkeypatch):
    timed = module("translation")
    shape = dataclasses.replace(timed.WORKS[0].shape, hidden_size=8, embedding_size=4)
    monkeypatch.setattr(timed, "_SMALL", shape)
    monkeypatch.setattr(timed, "_LIMIT", 6)
    rows = list(timed.decoding(blocks=1, num=3, num_alone=2, steps=0))
    # Of one that has learnt nothing, beams need not agree, and are not timed then.
    greedy = [row for row in rows if row.get("beams") == 1]
    assert [row["batch_size"] for row in greedy] == [1, 3, 1, 3]
    assert {row["work"]["shape"]["vocabulary"] for row in greedy} == {60, 8000}
    assert all("disagrees" in row or row["ratio"]["median"] > 0 for row in rows)


def test_rows_of_labels(module, monkeypatch, tmp_path):
    labels = module("series_labels")
    lines = [f"c{n // 5},{n % 5},{(-1) ** (n // 5) * (n % 5)},{'ab'[n // 5 % 2]}" for n in range(150)]
    (tmp_path / "cases.csv").write_text("case,step,x,label\n" + "\n".join(lines) + "\n")
    monkeypatch.setenv("RECUR_DATA", str(tmp_path))
    monkeypatch.setattr(labels, "LabelTrainingOptions", functools.partial(LabelTrainingOptions, max_steps=2))
    row = labels.told(labels.Job(name="cases.csv", train=labels.train_classifier, said="drawn"), 3)
    assert (row["seed"], row["steps"], row["measure"], row["rule"]) == (3, 2, "accuracy", 0.5)
    assert 0 <= row["figure"] <= 1
    assert module("run")._line(row).startswith("cases.csv, drawn, defaults, seed 3: ")
    engines = labels.Job(
        name="cases.csv",
        train=labels.train_regressor,
        series=NumberOptions(series_id="case", ignored="label", remaining_life=True, test_data="cases.csv"),
    )
    row = labels.told(engines, 0)
    assert (row["measure"], row["figures"]["num_told"]) == ("RMSE", 150)
    assert row["rule"] > 0


def test_attention_and_crf_are_timed_beside_the_same_in_plain_torch(module, monkeypatch):
    layers = module("sequence_layers")
    monkeypatch.setattr(layers, "thread_counts", lambda: [1])
    monkeypatch.setattr(layers, "BUDGET", 0.0)
    monkeypatch.setattr(layers, "ATTENTION", ((3, 5, 2, 8),))
    monkeypatch.setattr(layers, "CRF", ((6, 3, 4),))
    rows = [*layers.attention(), *layers.crf()]
    assert [found["what"].partition(",")[0] for found in rows] == [
        "additive attention",
        "additive",
        "multi-head attention",
        "CRF training",
    ]
    for found in rows:
        assert found["distance"] < 1e-4
        assert found["ratio"]["median"] > 0
