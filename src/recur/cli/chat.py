"""`recur chat`: a conversation with a translator that was trained on conversations."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from recur.cli.parser import CommandParser, Device, check_device, check_seed
from recur.errors import DataError, OptionError, RunError
from recur.run import RunFolder

_ASKED = "you   "
_ANSWERS = "model "
_CUT_OFF = " [cut off]"
"""What stands behind an answer that had come to no end when it had as many tokens as it may have."""

_NO_ANSWER = "(nothing)"
"""What stands in a terminal for an answer that is empty; where a program reads, its line is empty too."""


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "chat",
        "Talk to a model that was trained on conversations (recur train TALKS.yml): it answers each line by the last "
        "turns that were said, as many as --history said in training, that line among them. An answer that is as long "
        "as one may be ends in [cut off]. An empty line begins anew; the end of the input, Ctrl-D, ends.",
    )
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument(
        "--temperature",
        type=float | None,
        default=None,
        help="draw each word, below 1 more carefully, above it more daringly; by default the likeliest is taken",
    )
    parser.add_argument("--top-k", type=int | None, default=None, help="draw among so many of the likeliest alone")
    parser.add_argument("--top-p", type=float | None, default=None, help="draw among the likeliest that have this mass")
    parser.add_argument("--seed", type=int | None, default=None, help="the same seed draws the same answers")
    parser.add_argument("--device", type=Device, default="cpu", help="where to compute")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    check_seed(chosen.seed)
    if chosen.temperature is None and (chosen.top_k is not None or chosen.top_p is not None):
        chosen.temperature = 1.0
    # Before torch is imported, which takes seconds.
    folder = RunFolder.open(chosen.run)
    task = folder.config().get("task")
    if task != "translate":
        raise RunError(f"{folder.path}: is a run of task {task!r}, which does not talk; train one on conversations.")
    check_device(chosen.device)
    if sys.stdin is None:
        raise DataError("standard input is closed, so there is nobody to talk to.")
    from dataclasses import replace

    import torch

    from recur.data.texts.conversations import TURN_END
    from recur.decode import Sampling
    from recur.tasks.translate.trained import TrainedTranslator
    from recur.tasks.translate.translation import Translation

    trained = TrainedTranslator.load(folder, device=chosen.device)
    decoding = trained.decoding.with_one_beam
    if chosen.temperature is not None:
        decoding = replace(
            decoding, sampling=Sampling(temperature=chosen.temperature, top_k=chosen.top_k, top_p=chosen.top_p)
        )
    elif chosen.seed is not None:
        raise OptionError("seed is of answers that are drawn; give --temperature too, or leave --seed out.")
    seed = torch.seed() if chosen.seed is None else chosen.seed
    generator = torch.Generator(chosen.device).manual_seed(seed % (1 << 63))
    is_shown = sys.stdin.isatty()
    turns: list[str] = []
    for line in _lines(is_shown=is_shown):
        if not line:
            turns = []
            continue
        turns.append(line)
        asked = TURN_END.join(turns[-trained.setup.reading.history :])
        if is_shown:
            sys.stdout.write(_ANSWERS)
        pieces = trained.stream(asked, decoding=decoding, generator=generator)
        while True:
            try:
                piece = next(pieces)
            except StopIteration as done:
                answer: Translation = done.value
                break
            sys.stdout.write(piece)
            sys.stdout.flush()
        if is_shown and not answer.text.strip():
            sys.stdout.write(_NO_ANSWER)
        if answer.ended == "length":
            sys.stdout.write(_CUT_OFF)
        sys.stdout.write("\n")
        sys.stdout.flush()
        turns.append(" ".join(answer.text.split()))
    if is_shown:
        sys.stdout.write("\n")
    return 0


def _lines(*, is_shown: bool) -> Iterator[str]:
    """Yield the lines that are said, without the blanks around them."""
    while True:
        if is_shown:
            sys.stdout.write(_ASKED)
            sys.stdout.flush()
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError as error:
            raise DataError(f"standard input is no {error.encoding}: {error.reason}; give it in UTF-8.") from error
        if not line:
            return
        yield " ".join(line.split())
