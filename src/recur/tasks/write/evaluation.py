"""Judging a run's writer: on its own parts or on other texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recur.data.series.options import OtherTableOptions
from recur.data.texts.examples import PartName
from recur.data.texts.splitting import with_labels_only
from recur.data.texts.written import WrittenTexts
from recur.run import RunFolder
from recur.tasks.text_judging import check_judged, to_judge, with_notes_of
from recur.tasks.text_source import parts_of
from recur.tasks.write.judgement import EVALUATION, judge_writer
from recur.tasks.write.trained import TrainedWriter


def finish_writer(folder: RunFolder, trained: TrainedWriter, examples: WrittenTexts) -> dict[str, Any]:
    """Judge what was trained on the test part, write that into its run, and return it.

    Where there is no test part the validation part is judged, and the figures flatter, for it was chosen by that.

    Args:
        folder: The run, which has all else.
        trained: With the weights of the run.
        examples: The run's own, with parts.

    Raises:
        RunError: The folder cannot be written.
    """
    parts = parts_of(examples)
    part: PartName = "test" if len(parts["test"]) else "valid"
    found = judge_writer(trained, parts[part], part, train=parts["train"], valid=parts["valid"])
    found["weights"] = folder.weights_checksum()
    folder.write_json(EVALUATION, found)
    return found


def evaluate_writer(
    run: str | Path,
    data: Any = None,
    *,
    part: PartName = "test",
    device: str = "cpu",
    table: OtherTableOptions | None = None,
) -> dict[str, Any]:
    """Return the judgement of a run's writer, as `recur evaluate --json` prints it.

    Args:
        run: The run folder.
        data: Texts, and what they are of, to judge on; by default a part of the run's own.
        part: Which part of the run's own: train, valid or test.
        device: Where the network computes.
        table: How `data` are written, where not as the run's own.

    Raises:
        RunError: The run is missing or damaged, or its data are needed and cannot be found.
        DataError: The data cannot be used.
        OptionError: There is no such part, or `table` makes no sense.
    """
    check_judged(part, data, table)
    trained = TrainedWriter.load(run, device=device)
    examples, name, own = to_judge(trained.setup, data, part, table, has_rules=True)
    # As in training, where it is known of all what they are of.
    judged = with_labels_only(examples)
    found = judge_writer(trained, judged, name, train=own.get("train"), valid=own.get("valid"))
    if judged is not examples and name != "given":
        found["notes"].append(f"{judged.notes[-1]}.")
    return with_notes_of(judged, name, found)
