"""The network of a translator, or the several that write together: which options and vocabularies they go with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from recur.errors import OptionError
from recur.models.texts.translator import TranslatorNetwork
from recur.models.texts.translator_ensemble import TranslatorEnsemble
from recur.models.texts.translator_options import TranslatorOptions
from recur.tasks.translate.setup import TranslationSetup
from recur.wording import enumerated, option

TranslationNetwork = TranslatorNetwork | TranslatorEnsemble


def build_network(options: TranslatorOptions, setup: TranslationSetup) -> TranslationNetwork:
    """Return the network that recur trains with these options on such pairs, its weights freshly drawn.

    Raises:
        OptionError: The options need a vocabulary that the pairs do not have.
    """
    if options.tied == "all" and not setup.has_one_vocabulary:
        raise OptionError(
            "tied: all makes one of the vectors of sources and of targets, which have vocabularies of their own; "
            f"give {option('vocabulary', 'joint')} too, or {option('tied', 'output')}."
        )
    if options.copying and not setup.can_copy:
        kinds = setup.source_vocabulary.kind, setup.target_vocabulary.kind
        if "bpe" not in kinds:
            raise OptionError(
                f"copying: no token of sources, of kind {kinds[0]}, is one of targets, of kind {kinds[1]}; give "
                "tokens of one kind."
            )
        raise OptionError(
            f"copying: pieces of a BPE of sources are no pieces of that of targets; give "
            f"{option('vocabulary', 'joint')} too, or other tokens."
        )
    options = options.completed(has_one_vocabulary=setup.has_one_vocabulary)
    sizes = setup.source_vocabulary.size, setup.target_vocabulary.size
    members = [TranslatorNetwork(options, *sizes) for _ in range(options.members or 1)]
    return members[0] if len(members) == 1 else TranslatorEnsemble(members)


def check_alike(options: Sequence[TranslatorOptions], setups: Sequence[TranslationSetup]) -> None:
    """Raise unless translators differ in their weights alone, so that their networks can write together.

    Args:
        options: What the networks of each were built with.
        setups: Of each.

    Raises:
        OptionError: There is none, or they differ in more.
    """
    if not options:
        raise OptionError("joined: takes one translator or more, and none was given.")
    first, *others = [asdict(replace(one, members=1)) for one in options]
    for number, (other, setup) in enumerate(zip(others, setups[1:], strict=True), start=2):
        different = [
            f"{name} is {value!r} and {other[name]!r}" for name, value in first.items() if value != other[name]
        ]
        if different:
            raise OptionError(
                f"joined: the networks of number 1 and number {number} have different options: {enumerated(different)}."
            )
        if setup.fingerprint != setups[0].fingerprint:
            drawn = "; were their parts drawn by different seeds? Give data that name their parts"
            why = drawn if setup.seed != setups[0].seed else ""
            raise OptionError(f"joined: number 1 and number {number} have different vocabularies{why}.")
