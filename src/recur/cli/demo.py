"""`recur demo`: the whole tour in two minutes, on text that ships with Python."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from recur.cli.parser import CommandParser

_PROMPT = "The "


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "demo",
        "Train a small language model on the prose of Python's own documentation, judge it on held-out text beside "
        "simple baselines, let it write, and show where the report lies. Takes about two minutes on two cores.",
    )
    parser.add_argument("--out", type=str, default="runs/demo", help="run folder; an older demo there is replaced")
    parser.add_argument("--minutes", type=float, default=1.25, help="minutes of training")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    chosen = build_parser().parse_args(list(arguments))
    from recur.cli.console import plain_console
    from recur.cli.handling.language import show_finished
    from recur.data.demo import demo_text
    from recur.decode.sampling import Sampling
    from recur.errors import RunError
    from recur.models.options import LanguageModelOptions
    from recur.run import explained_os_errors, write_text_atomic
    from recur.tasks.language.trained import load
    from recur.train.language import train_language_model
    from recur.train.options import LanguageTrainingOptions

    out = Path(chosen.out)
    text = out.parent / f"{out.name}.txt"
    with explained_os_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        is_other = text.exists() and text.read_bytes() != demo_text().encode()
    if is_other:
        raise RunError(f"{text}: exists and is not the demo's text; move it away, or choose another folder with --out.")
    write_text_atomic(text, demo_text())
    console = plain_console(stderr=True, soft_wrap=False)
    console.print(f"demo     a language model of the prose in Python's documentation ({text})")
    folder = train_language_model(
        text,
        out=out,
        model=LanguageModelOptions(cell="lstm", num_layers=1, hidden_size=256, dropout=0.1),
        training=LanguageTrainingOptions(max_minutes=chosen.minutes, sample_prompt=_PROMPT, validate_every=150),
        overwrite=True,
        console=console,
    )
    written = load(folder).generate(_PROMPT, 300, sampling=Sampling(temperature=0.6), seed=1)
    sys.stdout.write(f"\nA sample (temperature 0.6, from {_PROMPT!r}):\n\n{_PROMPT}{written[0]}\n\n")
    sys.stdout.flush()
    show_finished(folder.path, plain_console())
    return 0
