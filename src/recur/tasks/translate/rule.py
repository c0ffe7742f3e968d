"""The trigrams of targets that may speak with a translator, kept in its run with their share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from recur.data.texts.examples import TextPairs
from recur.data.texts.pair_batches import PairBatch
from recur.errors import RunError
from recur.models.texts.trigrams import Trigrams
from recur.run import RunFolder
from recur.tasks.translate.networks import TranslationNetwork
from recur.tasks.translate.setup import TranslationSetup
from recur.token_ids import END, Ragged

RULE = "rule.safetensors"
"""File of a run with the counts of trigrams that speak with its networks."""

CALIBRATION = "calibration.safetensors"
"""File of a run with their share."""

LEAST_TO_CHOOSE = 20
"""Held-out targets that a share is chosen by."""

_SHARES = tuple(number / 20 for number in range(1, 20))
"""Shares that are tried."""

_LEAST_GAIN = 0.01
"""Of the nats of held-out targets: what trigrams have to save to speak, for they take time."""

_ENOUGH = 0.75
"""Of what the best share saves. Trigrams know nothing of the source, and the more they say the more answers are alike:
the last quarter took half of all different answers from conversations."""


@dataclass(frozen=True, kw_only=True)
class SpeakingTrigrams:
    """Trigrams of targets that speak with networks: p = (1 - share) p_networks + share p_trigrams.

    Source: Mikolov et al. (2011), section 4, of language models.

    Attributes:
        rule: The trigrams.
        share: Above 0 and below 1.
    """

    rule: Trigrams
    share: float

    def joined(self, said: Tensor, of_rule: Tensor) -> Tensor:
        """Return the log-probabilities of both together, by those of the networks and of the trigrams, (...)."""
        return _joined(said, of_rule.to(said), self.share)

    def note(self) -> str:
        """Return what a reader has to know."""
        return f"a trigram model of targets speaks with the network: its probabilities count {self.share:.0%}"


def _joined(said: Tensor, of_rule: Tensor, share: float) -> Tensor:
    return torch.logaddexp(said + math.log1p(-share), of_rule + math.log(share))


def fit_rule(setup: TranslationSetup, train: TextPairs | None) -> Trigrams | None:
    """Return the trigrams of the targets of a training part; None without any, and of too large a vocabulary."""
    vocabulary = setup.target_vocabulary
    if train is None or not len(train) or not Trigrams.fits(vocabulary.size):
        return None
    return Trigrams(vocabulary.size, vocabulary.encode_all(train.targets))


def rule_log_probs(rule: Trigrams, batch: PairBatch) -> Tensor:
    """Return what trigrams say of the targets of a batch, (N,) float64, as `TranslatorNetwork.target_log_probs`."""
    lengths = batch.y_lengths.tolist()
    rows = batch.y.cpu().numpy()
    nats = rule.token_nats(Ragged.of(row[: length - 1] for row, length in zip(rows, lengths, strict=True)))
    is_token = torch.arange(batch.y.shape[1]) < torch.tensor(lengths)[:, None]
    found = torch.zeros(is_token.shape, dtype=torch.float64)
    found[is_token] = -torch.from_numpy(nats)
    return found.t()[is_token.t()].to(batch.y.device)


def best_share(said: Tensor, of_rule: Tensor) -> float:
    """Return the least share of trigrams that makes held-out targets about as likely as any; 0 where it hardly helps.

    Args:
        said: Log-probability of each token of the targets by the networks, (N,).
        of_rule: The same by the trigrams.
    """
    said, of_rule = said.double(), of_rule.double()
    alone = -float(said.mean())
    mixed = [-float(_joined(said, of_rule, share).mean()) for share in _SHARES]
    saved = alone - min(mixed)
    if saved < _LEAST_GAIN * alone:
        return 0.0
    return next(share for share, nats in zip(_SHARES, mixed, strict=True) if alone - nats >= _ENOUGH * saved)


@torch.no_grad()
def speaking_trigrams(
    network: TranslationNetwork, rule: Trigrams, batches: Iterable[PairBatch]
) -> SpeakingTrigrams | None:
    """Return trigrams with the share by which they speak with a network; None where they hardly help.

    Args:
        network: Whose targets they are.
        rule: The trigrams.
        batches: Of held-out pairs.
    """
    device = next(network.parameters()).device
    said, of_rule = [], []
    for batch in batches:
        said.append(network.target_log_probs(batch.to(device)).cpu())
        of_rule.append(rule_log_probs(rule, batch))
    share = best_share(torch.cat(said), torch.cat(of_rule))
    return SpeakingTrigrams(rule=rule, share=share) if share else None


def contexts_of(befores: list[tuple[int, ...]], device: torch.device) -> Tensor:
    """Return the two tokens that trigrams look back on, (N, 2), after beginnings of targets."""
    return torch.tensor([(END, END, *before)[-2:] for before in befores], device=device).view(-1, 2)


def save_rule(folder: RunFolder, speaking: SpeakingTrigrams | None, setup: TranslationSetup) -> None:
    """Write trigrams and their share into a run folder that has weights; delete what is there where none speak.

    Raises:
        RunError: They cannot be written.
    """
    if speaking is None:
        folder.delete(CALIBRATION)
        folder.delete(RULE)
        return
    folder.write_tensors(RULE, speaking.rule.tensors(), metadata={"knows": setup.fingerprint})
    weights = folder.weights_checksum()
    folder.write_tensors(
        CALIBRATION,
        {"share": torch.tensor(speaking.share, dtype=torch.float64)},
        metadata=None if weights is None else {"weights": weights},
    )


def load_rule(folder: RunFolder, setup: TranslationSetup) -> SpeakingTrigrams | None:
    """Return the trigrams that speak with the networks of a run; None where none do.

    Raises:
        RunError: They are missing or damaged.
    """
    if not folder.has(CALIBRATION):
        return None
    tensors, said = folder.read_tensors_and_metadata(CALIBRATION)
    # A share that was chosen for other weights, before the training went on, says nothing of these.
    if said.get("weights") != folder.weights_checksum():
        return None
    try:
        share = float(tensors["share"])
        if not 0 < share < 1:
            raise ValueError(f"the share of the trigrams is {share}, expected a number above 0 and below 1")
    except (KeyError, ValueError, RuntimeError) as error:
        raise RunError(f"{folder.path / CALIBRATION}: damaged: {error}.") from error
    if not folder.has(RULE):
        raise RunError(f"{folder.path / RULE}: missing, but it speaks with the network; train the run anew.")
    tensors, said = folder.read_tensors_and_metadata(RULE)
    if said.get("knows") != setup.fingerprint:
        raise RunError(
            f"{folder.path / RULE}: is of another model, with another vocabulary; restore the run's own file."
        )
    try:
        rule = Trigrams.from_tensors(setup.target_vocabulary.size, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder.path / RULE}: damaged: {error}.") from error
    return SpeakingTrigrams(rule=rule, share=share)
