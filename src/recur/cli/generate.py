"""`recur generate`: text from a trained language model or writer."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, Literal

from recur.cli.handling.run_handling import check_owned, handling_of, show_notes, unfinished
from recur.cli.parser import CommandParser, Device, check_device, check_seed, given_options
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder
from recur.train.table import TASKS

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recur.decode.sampling import Sampling

_BYTES_PER_PROMPT_BYTE = 24
"""Memory that reading one byte of a prompt takes: its text, its token, and their copies."""


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser("generate", "Write text with a trained model; it is shown as it is made.")
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument(
        "--prompt",
        type=str,
        default=None,
        help="text to go on from; - reads standard input; by default a line's end, of runs of the task write nothing",
    )
    parser.add_argument(
        "--label",
        type=str | None,
        default=None,
        help="of runs of the task write: what a text is to be of, drawn if not given; where texts have "
        "several, any of them with commas between, and none if not given",
    )
    parser.add_argument(
        "--vector",
        type=str | None,
        default=None,
        help="of runs of the task write: numbers that a text is written from, one of each column, with commas between",
    )
    parser.add_argument(
        "--length",
        type=int | None,
        default=None,
        help="tokens to write, at most; 500 if not given, of runs of the task write, whose texts end by themselves, "
        "twice as many as 99 in a hundred texts of the training part have at most, and ten more",
    )
    parser.add_argument("--stop", type=str | None, default=None, help="of language models: stop before this text")
    parser.add_argument("--temperature", type=float, default=1.0, help="below 1 more careful, above it more daring")
    parser.add_argument("--top-k", type=int | None, default=None, help="draw among the k likeliest tokens only")
    parser.add_argument("--top-p", type=float | None, default=None, help="draw among the likeliest that have this mass")
    parser.add_argument("--seed", type=int | None, default=None, help="the same seed writes the same text")
    parser.add_argument("--samples", type=int, default=1, help="texts to write")
    parser.add_argument(
        "--unknown",
        type=Literal["error", "map", "drop"],
        default="error",
        help="of language models, characters of the prompt that they do not know: refuse them, map them to the unknown "
        "symbol, or leave them out",
    )
    parser.add_argument("--device", type=Device, default="cpu", help="where to compute")
    parser.add_argument("--threads", type=int, default=1, help="threads; one is fastest for a single text")
    parser.add_argument("--json", action="store_true", help="print JSON, when all is written")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    if chosen.threads < 1:
        raise OptionError(f"threads must be a whole number from 1 on, not {chosen.threads}.")
    check_seed(chosen.seed)
    # Before torch is imported, which takes seconds.
    folder = RunFolder.open(chosen.run)
    task = folder.config().get("task")
    if task == "translate":
        raise RunError(
            f"{folder.path}: is a run of task {task!r}, which writes from texts; give them to recur predict "
            f"{chosen.run}."
        )
    writing = [name for name in TASKS if "generate" in handling_of(name).options]
    if task not in writing:
        names = " or ".join(map(repr, writing))
        raise RunError(f"{folder.path}: is a run of task {task!r}, whose model writes no text; expected {names}.")
    check_owned(str(task), "generate", given_options(arguments))
    check_device(chosen.device)
    given = None if chosen.prompt is None else _prompt(chosen.prompt)
    show_notes(unfinished(folder))
    import torch

    from recur.decode.sampling import Sampling

    torch.set_num_threads(chosen.threads)
    sampling = Sampling(temperature=chosen.temperature, top_k=chosen.top_k, top_p=chosen.top_p)
    if task == "write":
        return _write(folder, chosen, given or "", sampling)
    from recur.tasks.language.trained import load

    trained = load(folder, device=chosen.device)
    prompt = trained.default_prompt if given is None else given
    pieces = trained.stream(
        prompt,
        500 if chosen.length is None else chosen.length,
        samples=chosen.samples,
        sampling=sampling,
        stop=chosen.stop,
        seed=chosen.seed,
        unknown=chosen.unknown,
    )
    if chosen.samples == 1 and not chosen.json:
        sys.stdout.write(prompt)
        for (piece,) in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return 0
    texts = [""] * chosen.samples
    for new in pieces:
        texts = [text + piece for text, piece in zip(texts, new, strict=True)]
    if chosen.json:
        import json

        sys.stdout.write(json.dumps({"prompt": prompt, "texts": texts}, indent=2, ensure_ascii=False) + "\n")
    else:
        for number, text in enumerate(texts, start=1):
            sys.stdout.write(f"--- {number} ---\n{prompt}{text}\n")
    return 0


def _write(folder: RunFolder, chosen: Namespace, prompt: str, sampling: Sampling) -> int:
    """Write texts from a label or from numbers, each from its beginning to its end."""
    from recur.tasks.write.trained import TrainedWriter

    trained = TrainedWriter.load(folder, device=chosen.device)
    label: str | list[str] | None = chosen.label
    # A class may have a comma itself.
    if chosen.label is not None and trained.setup.is_multi and chosen.label not in trained.classes:
        label = [one.strip() for one in chosen.label.split(",") if one.strip()]
    texts = trained.write(
        prompt,
        chosen.length,
        label=label,
        vector=None if chosen.vector is None else _numbers(chosen.vector),
        samples=chosen.samples,
        sampling=sampling,
        seed=chosen.seed,
    )
    if chosen.json:
        import json

        content = [{"text": one.text, "label": list(one.labels), "log_prob": one.log_prob} for one in texts]
        sys.stdout.write(json.dumps({"prompt": prompt, "texts": content}, indent=2, ensure_ascii=False) + "\n")
        return 0
    is_drawn = bool(trained.classes) and chosen.label is None
    has_lines = any("\n" in one.text for one in texts)
    for number, one in enumerate(texts, start=1):
        of = ", ".join(one.labels)
        if has_lines:
            sys.stdout.write(f"--- {number}{f', {of}' if is_drawn else ''} ---\n{one.text}\n")
        else:
            sys.stdout.write(f"{of}: {one.text}\n" if is_drawn and of else f"{one.text}\n")
    return 0


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise OptionError(
            f"vector: expected numbers with commas between them, such as 0.1,0.5, got {text!r}."
        ) from error


def _prompt(given: str) -> str:
    if given != "-":
        if not given.isprintable() and any("\ud800" <= character <= "\udfff" for character in given):
            raise DataError("the prompt is no valid text in the terminal's encoding; give it in UTF-8.")
        return given
    if sys.stdin is None:
        raise DataError("standard input is closed, so there is no prompt to read; give one with --prompt TEXT.")
    return read_prompt(sys.stdin.buffer)


def read_prompt(stream: BinaryIO) -> str:
    """Return the prompt that `stream` holds, UTF-8.

    Raises:
        DataError: It is longer than memory allows, or no UTF-8.
    """
    limit = free_memory() // _BYTES_PER_PROMPT_BYTE
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise DataError(f"the prompt is longer than memory allows: more than {limit:,} bytes; give a shorter one.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"the prompt on standard input is no UTF-8: byte {error.start}: {error.reason}.") from error


def free_memory() -> int:
    """Return how many bytes of memory are free, or 4 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 4 << 30
