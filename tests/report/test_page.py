from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from recur.errors import RunError
from recur.report import figures, write_report
from recur.report.contents import MAX_SAMPLES, read_contents
from recur.report.values import TIMES
from recur.run import RunFolder

MakeRun = Callable[..., RunFolder]
PICTURES = {"loss.png", "learning_rate.png", "gradient_norm.png", "throughput.png"}
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--\u202e\x00\ud800"


def report(run: RunFolder) -> str:
    return write_report(run).read_text(encoding="utf-8")


def test_the_report_is_one_file_and_four_pictures(run: RunFolder) -> None:
    before = {path.name for path in run.path.iterdir()}
    path = write_report(run)
    assert path == run.path / "report.html"
    assert {found.name for found in run.path.iterdir()} - before == PICTURES | {"report.html"}
    assert path.stat().st_size < 6_000_000
    for name in PICTURES:
        assert (run.path / name).read_bytes().startswith(b"\x89PNG")


def test_a_report_goes_with_its_run_when_that_is_overwritten(run: RunFolder) -> None:
    write_report(run)
    RunFolder.create(run.path, overwrite=True)
    assert [path.name for path in run.path.iterdir()] == ["checkpoints"]


def test_the_report_is_the_same_every_time(run: RunFolder) -> None:
    assert report(run) == report(run)


def test_a_long_run_stays_small(make_run: MakeRun) -> None:
    run = make_run([{"kind": "train", "step": i, "loss": 1 / 3 + i, "grad_norm": 1 / 7 + i} for i in range(1, 20_001)])
    assert write_report(run).stat().st_size < 6_000_000


def test_the_page_asks_for_nothing_from_elsewhere(run: RunFolder, parsed: Any) -> None:
    page = report(run)
    elements = parsed(page)
    fetching = [(tag, found) for tag, found in elements.found if "src" in found or tag in ("link", "iframe", "object")]
    assert fetching == [("link", {"rel": "icon", "href": "data:,"})]
    assert elements.count("script") == 3
    policy = next(a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.split("script-src")[1].split(";")[0]


def test_the_page_says_what_the_run_holds(run: RunFolder, said: Any) -> None:
    text = said(report(run))
    assert f"LSTM of 2 {TIMES} 256 units (1.09 million parameters), trained on input.txt, 2,000 steps" in text
    assert "in 3 min on AMD EPYC with 2 threads." in text
    assert "The model needs 0.54 nats per character less than a trigram model does." in text
    assert "this model 1.512 trigram 2.050 unigram 3.310" in text
    assert "perplexity per character 4.54 7.77 27.39" in text
    assert "Measured on 55,770 characters of the test part, each read once, in 4 s." in text
    assert "On the validation part the model reaches 1.421 nats per character." in text
    assert "step 2,000 stopped: the time is over" in text
    assert f"weight_ih_l0 1024 {TIMES} 256" in text
    assert "in all 1,086,017" in text
    assert "layers.0 runs on torch; fused: built without it." in text
    assert "optimizer.betas 0.9, 0.99" in text
    assert "cpu brand: AMD EPYC; features: avx2, fma" in text
    assert "does not beat" not in text


def test_the_best_baseline_is_named_when_the_model_does_not_beat_it(make_run: MakeRun, said: Any) -> None:
    evaluation = {
        "part": "test",
        "model": {"nats_per_character": 2.4},
        "baselines": {"unigram": {"nats_per_character": 3.3}, "trigram": {"nats_per_character": 2.1}},
    }
    text = said(report(make_run(evaluation=evaluation)))
    assert "This model does not beat the trigram baseline: 2.400 against 2.100 nats per character." in text
    assert "trigram 2.100 this model 2.400 unigram 3.300" in text


def test_samples_come_in_order_and_without_their_prompt_twice(run: RunFolder, parsed: Any) -> None:
    samples = read_contents(run).samples
    assert [sample.step for sample in samples] == list(range(250, 2001, 250))
    assert samples[-1].prompt == "ROMEO:"
    assert samples[-1].text.startswith("\nSample of step 2000.")
    assert samples[-1].loss.endswith(" nats per character")
    assert parsed(report(run)).of_class("sample") == 8


def test_a_sample_without_a_prompt_begins_with_its_first_line(make_run: MakeRun) -> None:
    (sample,) = read_contents(make_run([{"kind": "sample", "step": 1, "prompt": "\n", "text": "\n\nOnce"}])).samples
    assert (sample.prompt, sample.text) == ("", "Once")


def test_many_samples_are_thinned_and_the_last_stays(make_run: MakeRun) -> None:
    rows = [{"kind": "sample", "step": i, "prompt": "a", "text": "ab" * 4_000} for i in range(1, 1001)]
    samples = read_contents(make_run(rows)).samples
    assert len(samples) == MAX_SAMPLES
    assert (samples[0].step, samples[-1].step) == (1, 1000)
    assert samples[0].text.startswith("bab")
    assert len(samples[0].text) == 4_000


def test_every_symbol_of_a_passage_has_its_loss(run: RunFolder, parsed: Any) -> None:
    elements = parsed(report(run))
    told = [a["data-says"] or "" for tag, a in elements.found if tag == "span" and "data-says" in a]
    assert len(told) == sum(len(passage.symbols) for passage in read_contents(run).passages)
    assert all(re.fullmatch(r".+ · (less than )?\d+\.\d\d nats · chance (\d+%|1 in [\d,]+)", one) for one in told)
    assert elements.of_class("newline") == 5 * 9


def test_the_page_of_an_inspection_is_linked_when_there_is_one(run: RunFolder, parsed: Any) -> None:
    run.save_weights({"weight": torch.zeros(2)})
    assert "inspect.html" not in report(run)
    (run.path / "inspect.html").write_text("", encoding="utf-8")
    (run.path / "inspect.json").write_text(json.dumps({"weights": run.weights_checksum()}), encoding="utf-8")
    page = report(run)
    assert ("a", {"href": "inspect.html"}) in parsed(page).found
    assert "with other weights than it has now" not in page


@pytest.mark.parametrize("content", ['{"weights": "0"}', "{}", '{"weights": null}', "["])
def test_the_page_of_an_inspection_of_other_weights_is_named_as_such(run: RunFolder, content: str) -> None:
    run.save_weights({"weight": torch.zeros(2)})
    (run.path / "inspect.html").write_text("", encoding="utf-8")
    (run.path / "inspect.json").write_text(content, encoding="utf-8")
    assert "as they were with other weights than it has now" in report(run)


def test_without_everything_but_the_configuration_it_still_says_so(make_run: MakeRun, said: Any) -> None:
    missing: dict[str, Any] = dict.fromkeys(("env", "schema", "model", "evaluation"))
    run = make_run([], {"format": 1, "task": "language"}, **missing)
    text = said(report(run))
    assert "Not judged on held-out text yet" in text
    assert "Nothing has been logged yet." in text
    assert "Go on with the training" in text
    assert "What it writes" not in text
    assert "recur generate" not in text
    assert not list(run.path.glob("*.png"))
    assert figures(run) == {}


@pytest.mark.parametrize("missing", ["env", "schema", "model", "evaluation"])
def test_a_part_that_is_missing_is_left_out(make_run: MakeRun, missing: str, said: Any) -> None:
    absent: dict[str, Any] = {missing: None}
    text = said(report(make_run(**absent)))
    assert ("The machine and the versions" in text) == (missing != "env")
    assert ("86c4e6aa" in text) == (missing != "schema")
    assert ("What it is made of" in text) == (missing != "model")
    assert ("What surprised it most" in text) == (missing != "evaluation")


def test_one_row_of_nulls_and_one_row_of_values_can_be_drawn(make_run: MakeRun) -> None:
    rows = [
        {"kind": "train", "step": 1, "loss": None, "grad_norm": None, "learning_rate": None, "tokens_per_second": None},
        {"kind": "train", "step": 2, "loss": 3.0, "grad_norm": 0.0, "learning_rate": 0.0, "tokens_per_second": 0.0},
    ]
    run = make_run(rows)
    write_report(run)
    assert {path.name for path in run.path.glob("*.png")} == PICTURES - {"gradient_norm.png"}
    assert figures(run)["loss"].data[0].y == (None, 3.0)


def test_values_of_the_wrong_kind_are_left_out(make_run: MakeRun, said: Any) -> None:
    wrong: Any = [None, "x", 3, {"y": [1]}, [[]]]
    run = make_run(
        [{"kind": "train", "step": value, "loss": value} for value in wrong]
        + [
            {"kind": kind, "step": 1, "text": value, "prompt": value} for kind in ("sample", "event") for value in wrong
        ],
        {"format": 1, "task": wrong, "name": wrong, "model": wrong, "training": {"clip_norm": "x"}},
        env={"cpu": wrong, "device": 3, "threads": {"torch": "two"}, "backends": wrong},
        schema={"tokenizer": wrong, "corpus": {"sources": wrong}},
        model={"layers": wrong, "parameters": "many"},
        evaluation={
            "part": 3,
            "model": {"nats_per_character": 2.0, "top1": "x"},
            "valid": wrong,
            "baselines": {"trigram": wrong},
            "surprising": [*wrong, {"tokens": wrong, "losses": wrong + wrong}],
        },
    )
    text = said(report(run))
    assert "this model 2.000" in text


def test_hostile_strings_are_shown_and_do_nothing(make_run: MakeRun, parsed: Any) -> None:
    evil_figures = {"nats_per_character": 2.0, "nats_per_token": 2.0}
    run = make_run(
        [
            {"kind": "train", "step": 1, "loss": 2.0},
            {"kind": "train", "step": 2, "loss": 1.9},
            {"kind": "sample", "step": 1, "prompt": EVIL, "text": EVIL},
            {"kind": "event", "step": 1, "text": EVIL},
        ],
        {"format": 1, "task": EVIL, "name": EVIL, "model": {"cell": EVIL, EVIL: EVIL}, EVIL: {EVIL: [EVIL]}},
        env={
            "cpu": {"brand": EVIL},
            EVIL: EVIL,
            "backends": [{"layer": EVIL, "others": [{"backend": EVIL, "reason": EVIL}]}],
        },
        schema={"tokenizer": {"kind": EVIL}, "corpus": {"sources": [{"name": EVIL, "bytes": 3, "sha256": EVIL}]}},
        model={"layers": [{"name": EVIL, "kind": EVIL, "weights": {EVIL: [EVIL]}, "output": EVIL}]},
        evaluation={
            "part": EVIL,
            "verdict": EVIL,
            "model": evil_figures,
            # Within the length that a column's name keeps.
            "baselines": {"</script>": evil_figures, "<b>x</b>": evil_figures},
            "surprising": [{"tokens": [EVIL, *EVIL], "losses": [1.0]}],
        },
    )
    page = report(run)
    elements = parsed(page)
    assert elements.count("script") == 3
    assert elements.count("img") == 0
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert elements.text.count("alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}<!--[U+202E]␀[U+D800]") > 20
    assert "\x00" not in page
    assert "\u202e" not in page
    drawn = json.loads(page.split('id="figures">')[1].split("</script>")[0])
    names = [note["text"] for note in drawn["loss"]["layout"]["annotations"]]
    assert names == ["&lt;/script&gt; 2.00", "&lt;b&gt;x&lt;/b&gt; 2.00"]


def test_figures_are_plotly_figures(run: RunFolder) -> None:
    drawn = figures(run)
    assert list(drawn) == ["loss", "learning_rate", "gradient_norm", "throughput"]
    assert [trace.meta["role"] for trace in drawn["loss"].data] == ["raw", "train", "valid", "best"]
    assert [note.text for note in drawn["loss"].layout.annotations] == ["unigram 3.31", "trigram 2.05"]
    assert drawn["gradient_norm"].layout.yaxis.type == "log"
    assert drawn["gradient_norm"].layout.shapes[0].y0 == 1.0
    assert drawn["gradient_norm"].layout.annotations[0].y == 0.0


def test_a_damaged_file_is_named(make_run: MakeRun) -> None:
    run = make_run()
    (run.path / "evaluation.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match=r"evaluation\.json: damaged: "):
        write_report(run)


def test_no_folder_no_report(make_run: MakeRun) -> None:
    with pytest.raises(RunError, match=r"config\.json: missing; the run is incomplete\."):
        write_report(RunFolder(make_run().path / "nothing"))


def test_the_commands_name_the_run_as_seen_from_here(
    run: RunFolder, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (run.path / "model.safetensors").write_bytes(b"")
    lines = [command.line for command in read_contents(run).commands]
    assert lines[0] == "recur generate run --prompt ROMEO: --length 500"
    # There is nothing to resume, as where an estimator saved it.
    assert not any("--resume" in line for line in lines)


@pytest.mark.parametrize(
    ("training", "is_best", "options"),
    [
        ({"max_minutes": 0.2, "max_epochs": None, "patience": 3}, [True, False, False], "--max-minutes 0.4"),
        ({"max_minutes": 30.0, "max_steps": 700, "patience": 0}, [True], "--max-minutes 60 --max-steps 1400"),
        ({"max_minutes": 30.0, "patience": 2}, [True, False, True, False, False], "--patience 4"),
        ({}, [], "--max-minutes 30"),
    ],
)
def test_what_trains_a_run_further_is_what_ended_it(
    make_run: MakeRun, training: dict[str, Any], is_best: list[bool], options: str
) -> None:
    rows = [{"kind": "valid", "step": n, "loss": 1.0, "is_best": is_so} for n, is_so in enumerate(is_best)]
    run = make_run(config={"format": 1, "task": "language", "training": training}, rows=rows)
    for name in ("model.safetensors", "checkpoints/last.ckpt"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_bytes(b"")
    command = read_contents(run).commands[-1]
    assert command.line.endswith(f"/run {options}")
    assert ("had not fallen for 2 validations" in command.why) == options.startswith("--patience")
    (run.path / "evaluation.json").unlink()
    assert read_contents(run).commands[-1].line.endswith("recur train --resume " + str(run.path))


def test_of_several_networks_each_goes_on(make_run: MakeRun) -> None:
    run = make_run(config={"format": 1, "task": "language", "training": {"max_steps": 50, "patience": 2}}, rows=[])
    for number, is_best in enumerate(([True, False, False, False], [True, True]), 1):
        member = RunFolder.create(run.path / "members" / str(number))
        member.write_json("config.json", {"format": 1})
        for step, is_so in enumerate(is_best):
            member.append_metrics({"kind": "valid", "step": step, "loss": 1.0, "is_best": is_so})
    assert read_contents(run).commands[-1].line.endswith("/run --patience 6 --max-steps 100")


def test_a_forecaster_that_cannot_be_resumed_learns_on(make_run: MakeRun) -> None:
    run = make_run(config={"format": 1, "task": "forecast"})
    (run.path / "model.safetensors").write_bytes(b"")
    assert read_contents(run).commands[-1].line == f"recur train --continue {run.path} new.csv"


def test_files_nested_to_the_limit_of_json_are_shown_in_part(make_run: MakeRun) -> None:
    deep = json.loads('{"a":' * 900 + "1" + "}" * 900)
    flat = json.loads("[" * 900 + "1" + "]" * 900)
    run = make_run(config={"format": 1, "task": "language", "deep": deep}, env={"deep": flat})
    contents = read_contents(run)
    assert dict(contents.environment)["deep"] == "…"
    (group,) = (options for name, options in contents.options if name == "deep")
    assert group[0][1] == "…"
    report(run)


@pytest.mark.parametrize("value", [0.0, 100.0, 3.4e38, 1e40, 1.7e308])
def test_figures_of_any_size_can_be_drawn(make_run: MakeRun, value: float) -> None:
    rows = [
        {"kind": "train", "step": step, "loss": y, "grad_norm": y, "tokens_per_second": y, "learning_rate": y}
        for step, y in enumerate([value, value, -value])
    ]
    rows += [{"kind": "valid", "step": step, "loss": y} for step, y in enumerate([value, math.nextafter(value, 0)])]
    extreme = {"nats_per_character": value, "nats_per_token": -value, "seconds": value, "characters": value}
    report(make_run(rows=rows, evaluation={"model": extreme, "baselines": {"one": extreme}}))


def test_steps_of_any_size_can_be_drawn(make_run: MakeRun) -> None:
    report(
        make_run(rows=[{"kind": "train", "step": step, "loss": 1.0} for step in (-1e308, -1e40, -3, 0, 1e40, 1e308)])
    )


def test_importing_the_package_draws_in_no_plotting() -> None:
    code = "import sys, recur.report; print(sorted({'plotly', 'matplotlib', 'jinja2', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
