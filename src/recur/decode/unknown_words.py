"""Unknown words of an output replaced by what the model looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from recur.errors import OptionError


def replace_unknown(
    tokens: Sequence[int],
    attention: Tensor,
    source: Sequence[str],
    vocabulary: Sequence[str],
    *,
    unknown: int,
    lexicon: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the words of an output, with the source's word for each unknown one (Jean et al. 2015, section 3.3).

    Args:
        tokens: The output, as of a `Hypothesis`; T of them.
        attention: Where each token looked, (T, S).
        source: The words that the source had, unknown ones as they were written; S of them.
        vocabulary: The word of each token.
        unknown: The token that stands for unknown words.
        lexicon: Words of the source and what they become; those that are not in it stay as they are.

    Raises:
        OptionError: The attention is not of these tokens and this source.

    Example:
        >>> import torch
        >>> looked = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
        >>> replace_unknown([2, 0], looked, ["ich", "Anna"], ["<unk>", "am", "I"], unknown=0)
        ['I', 'Anna']
    """
    if tuple(attention.shape) != (len(tokens), len(source)):
        raise OptionError(
            f"attention must have a row for each of {len(tokens)} tokens and a column for each of {len(source)} words "
            f"of the source, not the shape {tuple(attention.shape)}. Give the source without padding and marks."
        )
    lexicon = lexicon or {}
    looked = attention.argmax(dim=1).tolist() if len(tokens) else []
    return [
        lexicon.get(source[place], source[place]) if token == unknown else vocabulary[token]
        for token, place in zip(tokens, looked, strict=True)
    ]
