"""What is written without a model, of the training part alone: what a model has to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from recur.data.texts.examples import TextPairs
from recur.tasks.translate.nearest import NearestText
from recur.wording import quantity


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What one rule writes.

    Attributes:
        name: Of the rule, as files have it.
        title: What it does, as people read it.
        outputs: What it writes for each source.
        note: What a reader has to know of it; empty where there is nothing.
    """

    name: str
    title: str
    outputs: tuple[str, ...]
    note: str = ""


def baselines_for(sources: Sequence[str], train: TextPairs | None) -> tuple[Baseline, ...]:
    """Return what rules write that need no model.

    | name | writes |
    | --- | --- |
    | `copy` | the source |
    | `most_frequent` | the target that most training pairs have, always |
    | `nearest` | the target of the training source that is most like the source, see `NearestText` |

    A training source with several targets has the one that it most often has; of as frequent ones, the first.

    Args:
        sources: Of what is judged.
        train: The training part; without it, or of none, there is only `copy`.
    """
    copied = Baseline(name="copy", title="copying the source", outputs=tuple(sources))
    if train is None or not len(train):
        return (copied,)
    most_frequent = Counter(train.targets).most_common(1)[0][0]
    own: dict[str, Counter[str]] = {}
    for source, target in zip(train.sources, train.targets, strict=True):
        own.setdefault(source, Counter())[target] += 1
    known = list(own)
    near = NearestText(known)
    # A source that is known is nearest to itself, also where it is one of those that are not kept.
    unknown = [source for source in dict.fromkeys(sources) if source not in own]
    nearest = dict(zip(unknown, (known[place] for place in near.find(unknown).tolist()), strict=True))
    targets = (own[nearest.get(source, source)].most_common(1)[0][0] for source in sources)
    kept = len(near.kept)
    note = "" if kept == len(known) else f"the nearest source was looked for among {quantity(kept, 'source')}."
    return (
        copied,
        Baseline(name="most_frequent", title="the most frequent target", outputs=(most_frequent,) * len(sources)),
        Baseline(name="nearest", title="the target of the nearest source", outputs=tuple(targets), note=note),
    )
