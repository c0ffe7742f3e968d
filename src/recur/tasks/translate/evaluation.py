"""Judging a run's translator: on its own parts or on other pairs, with where it looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from recur.data.series.options import OtherTableOptions
from recur.data.texts.examples import PartName, TextPairs
from recur.kinds import json_number
from recur.models.texts.trigrams import Trigrams
from recur.run import RunFolder
from recur.tasks.advice import longer_or_more
from recur.tasks.text_judging import check_judged, to_judge, with_notes_of
from recur.tasks.translate.judgement import EVALUATION, judge_pairs
from recur.tasks.translate.rule import fit_rule, save_rule
from recur.tasks.translate.trained import TrainedTranslator
from recur.tasks.translate.translation import Translation, cut_off
from recur.token_ids import UNKNOWN

_MOST_MAPS, _LONGEST = 10, 60
"""Maps of attention that are kept, of texts of so many tokens at most."""


def judge_translator(
    trained: TrainedTranslator,
    pairs: TextPairs,
    part: str,
    *,
    train: TextPairs | None = None,
    rule: Trigrams | None = None,
) -> dict[str, Any]:
    """Return how good a translator is: what `judge_pairs` returns, and three entries more.

    | entry | holds |
    | --- | --- |
    | `likelihood` | how likely the right targets are, by all that writes |
    | `cut_off` | how many answers to different sources ended at their maximum length |
    | `attention` | of some texts their tokens, what was written, and where each of these tokens looked |

    `likelihood` has `nats_per_token`, `perplexity` and `nats_per_character`, how many `tokens` there are, how many of
    these are `unknown`, and `trigram_perplexity`, that of a trigram model of the training part's targets, or None.

    Args:
        trained: What writes.
        pairs: Sources and right targets.
        part: What they are called: train, valid, test or given.
        train: The training part, of which rules are made.
        rule: The trigrams of its targets, where they are there already.

    Raises:
        DataError: There is nothing to judge by.
    """
    answers = [found[0] for found in trained.translate(pairs.sources, with_attention=False)]
    vocabulary = trained.setup.target_vocabulary
    found = judge_pairs(
        pairs,
        [one.text for one in answers],
        part,
        train=train,
        log_probs=[one.log_prob for one in answers],
        is_lowercase=vocabulary.lowercase,
        unicode=vocabulary.unicode,
    )
    ended = list({source: one.ended for source, one in zip(pairs.sources, answers, strict=True)}.values())
    found["cut_off"] = ended.count("length")
    found["notes"] += cut_off(ended, is_asked=False)
    found["likelihood"], notes = _likelihood(trained, pairs, rule or fit_rule(trained.setup, train))
    found["notes"] += notes
    if trained.trigrams is not None:
        found["notes"].append(f"{trained.trigrams.note()}, as the validation part has chosen")
    found["attention"] = _maps(trained, pairs.sources, answers)
    return found


def finish_translator(folder: RunFolder, trained: TrainedTranslator, pairs: TextPairs) -> dict[str, Any]:
    """Let trigrams speak too where that helps, judge what was trained on the test part, and write both into its run.

    Where there is no test part the validation part is judged, and the figures flatter, for it was chosen by that.

    Args:
        folder: The run, which has all else.
        trained: With the weights of the run.
        pairs: The run's own, with parts.

    Raises:
        DataError: There is nothing to judge by.
        RunError: The folder cannot be written.
    """
    train = pairs.of_part("train")
    rule = fit_rule(trained.setup, train)
    trained.choose_share(pairs.of_part("valid"), rule if trained.options.ngrams else None)
    save_rule(folder, trained.trigrams, trained.setup)
    part: PartName = "test" if len(pairs.of_part("test")) else "valid"
    found = judge_translator(trained, pairs.of_part(part), part, train=train, rule=rule)
    found["notes"] += _advice(folder, found)
    found["weights"] = folder.weights_checksum()
    folder.write_json(EVALUATION, found)
    return found


def evaluate_translator(
    run: str | Path,
    data: Any = None,
    *,
    part: PartName = "test",
    device: str = "cpu",
    table: OtherTableOptions | None = None,
) -> dict[str, Any]:
    """Return the judgement of a run's translator, as `recur evaluate --json` prints it.

    Args:
        run: The run folder.
        data: Pairs to judge on; by default a part of the run's own.
        part: Which part of the run's own: train, valid or test.
        device: Where the network computes.
        table: How `data` are written, where not as the run's own.

    Raises:
        RunError: The run is missing or damaged, or its data are needed and cannot be found.
        DataError: The data cannot be used.
        OptionError: There is no such part, or `table` makes no sense.
    """
    check_judged(part, data, table)
    trained = TrainedTranslator.load(run, device=device)
    pairs, name, own = to_judge(trained.setup, data, part, table, has_rules=True)
    found = judge_translator(trained, pairs, name, train=own.get("train"))
    if data is None:
        found["notes"] += _advice(RunFolder.open(run), found)
    return with_notes_of(pairs, name, found)


def _advice(folder: RunFolder, found: dict[str, Any]) -> list[str]:
    """Return a note of what may make a translator better than the best rule, where it is not by more than noise."""
    if found["verdict"]["is_better"]:
        return []
    return [f"{longer_or_more(folder, 'pairs')}, that it may beat the best rule"]


@torch.no_grad()
def _likelihood(
    trained: TrainedTranslator, pairs: TextPairs, rule: Trigrams | None
) -> tuple[dict[str, float | None], list[str]]:
    """Return how likely the right targets are, with their ends, and notes of that."""
    short = trained.within(pairs)
    notes = [] if short is pairs else [f"of the perplexity {short.notes[-1]}"]
    device = next(trained.network.parameters()).device
    nats, tokens, unknown = 0.0, 0, 0
    for batch in trained.batches(short.sources, short.targets):
        found = trained.target_log_probs(batch.to(device))
        nats, tokens = nats - float(found.double().sum()), tokens + len(found)
        unknown += int((batch.y == UNKNOWN).sum())
    if unknown:
        notes.append(
            f"{unknown:,} of the {tokens:,} tokens of the right targets are unknown, {unknown / tokens:.1%}; the "
            "perplexity takes all these for one token, which is easier to tell than what they are"
        )
    characters = sum(map(len, short.targets)) + len(short)
    vocabulary = trained.setup.target_vocabulary
    return {
        "nats_per_token": json_number(nats / tokens) if tokens else None,
        "perplexity": json_number(math.exp(min(nats / tokens, 700.0))) if tokens else None,
        "trigram_perplexity": None
        if rule is None or not tokens
        else json_number(math.exp(float(rule.nats(vocabulary.encode_all(short.targets)).sum()) / tokens)),
        # An end counts as a character, as that of a line does.
        "nats_per_character": json_number(nats / characters) if characters else None,
        "tokens": tokens,
        "unknown": unknown,
    }, notes


def _maps(trained: TrainedTranslator, sources: Sequence[str], answers: Sequence[Translation]) -> list[dict[str, Any]]:
    if trained.options.attention == "none":
        return []
    fitting = [
        source
        for source, one in zip(sources, answers, strict=True)
        if one.tokens and len(one.tokens) <= _LONGEST >= len(one.source_tokens) > 0
    ]
    # Evenly from all of them. They are written again, so that of all others it need not be kept where they looked.
    step = max(1, len(fitting) // _MOST_MAPS)
    chosen = [found[0] for found in trained.translate(fitting[::step][:_MOST_MAPS])]
    return [
        {
            "source": list(one.source_tokens),
            "written": list(one.tokens),
            "text": one.text,
            "weights": [[round(value, 4) for value in row] for row in one.attention.tolist()],
        }
        for one in chosen
        if one.attention is not None
    ]
