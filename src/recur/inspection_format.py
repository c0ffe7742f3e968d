"""What `recur inspect` writes into a run folder and the report reads, `inspect.json` and `inspect.safetensors`.

Of a translator these are of the encoder; `inspect_decoder.json` and `inspect_decoder.safetensors` are alike, of the
decoder.

N: symbols of a text or steps of a series that are shown. H: units of a layer. Null stands for a number that is not
known.

`inspect.json`:

| key | holds |
| --- | --- |
| `format` | `FORMAT` |
| `kind`, `title`, `cut` | "text" or "series"; what was read, and how much of it, empty where all |
| `weights` | checksum of the network's weights, `recur.run.checksum`; of a run those of `model.safetensors` |
| `unit` | what a symbol is: "character", "byte", "token", "word", or "step" of a series |
| `symbols`, `unknown` | (text) each symbol as it stands there; `symbol` and `count` of what the model does not know |
| `between` | (all that read whole texts) what stands after each symbol and is none, such as blanks |
| `series` | (series) names of the `channels`, and what each step is called, `times` |
| `losses` | N: nats (text) or loss (series) of each symbol given all before it |
| `model` | `name`, `parameters`, `vocabulary_size`, `embedding_size`, `tied`, `residual` |
| `layers` | see below |
| `properties` | see below |
| `next` | (a language model, a tagger) the `vocabulary`; "tag" as `of` where these are tags of the symbol itself |
| `output` | (a tagger, an encoder) what stands above the layers, its `title` and what it `says` |
| `tags` | (a tagger) of each symbol what was `told`, its `probability`, and what is `true`, or null |
| `attribution` | `window` W, `note`, the `unit` of falls, and `methods`: `key`, `name`, its check (`deletion`) |
| `answers` | (a trained model of series, a classifier of texts, a tagger, an encoder) see below |
| `writing` | (an encoder) see below |
| `reach_of` | "states" where the probe is of states, and there are no answers |
| `probe` | `recur.gradients.Probe.to_json`, or null |
| `diagnosis` | of each finding, `name`, `what`, `evidence`, `advice` |

A layer has its `name`, its `kind` (the class), its `cell` (the op's name; where it has none, the class in lower
case), its `options` (those that it has of `coupled`, `peephole`, `layer_norm`, `projected`, `bias`, `nonlinearity`,
`reset_after` and others that change its equations), its `initial` state ("zero", "learned" or "computed"),
`input_size`, `hidden_size`, `states` (h first), `gates`, `scales` by state and gate, `weights` (shapes by name), and
`explained`, the shares of the variance of h that two components have.

A property has its `key`, its `name`, its `kind` ("binary" or "number"), its `share` (how often a binary one is true),
its `chance` (the score that the best unit reaches on labels that mean nothing), a `note` (why it was not searched
for), and at most `MAX_UNITS` of `units`, the best first: `layer`, `part`, `unit`, `score` (on the half that was
searched), `held_out` (on the other), `sign`, `verdict` ("holds" or "chance").

Answers have what is `asked`, the `unit` of contributions, `notes`, the number of the step with which what is
explained begins (`begin`), the `channels` that contribute, `check` (a deletion, or null), why there is none
(`unchecked`), `ahead` (null, or `targets`, `median`, `low`, `high` and `came`, by step and target), and `answers`, of
each its `name`, what is `said` and what `came` in words, the `answer` and that of the `neutral` input in figures, the
`sum` of all shares and by how much of them it misses the difference of the two (`gap`), and shares `by_channel`, and
of what is known of the steps `ahead`. Of a text the steps are its symbols, the only channel is "token", nothing is
ahead, and each has the `strongest` words `for` it and `against` it, pairs of a word and what it contributes.

Writing has tokens of the `source`, tokens that were `written`, what is `right` or null, `beams`, the `length_penalty`,
`answers`, the best first (`text`, `score`, `log_prob`, `ended` as of `recur.decode.Hypothesis`, and `end`, its node or
null), and the `tree` of what was open in the search: of each node its `parent`, a number or null, `token`, `log_prob`
of all down to it, and whether a token that follows it was open too (`continued`).

A deletion has `shares`, `chosen`, `random`, `standard_error` and `is_faithful`; see `recur.gradients.Deletion`.

`inspect.safetensors`:

| name | shape, type | holds |
| --- | --- | --- |
| `layers.{k}.{part}` | (N, H) int8 | a state or gate; the value is q / 127 times its scale |
| `pca.{k}` | (N, 2) float32 | h of layer k in its two principal components |
| `initial.{k}.{state}` | (H,) float32 | the learned initial state, where `initial` is "learned" |
| `property.{key}` | (N,) float32 | the labels that were searched for |
| `values`, `predictions` | (N, C) float32 | (series) the inputs, and what was said of each before it was seen |
| `next.ids`, `next.probs` | (N, K) int32, float32 | what is most probable of `next`, the best first |
| `first.embedding` | (S, E) float32 | (text) embeddings of the first symbols |
| `attribution.positions` | (A,) int32 | positions p whose prediction, of what comes at p + 1, is explained |
| `answers.shares` | (A, S, G) float32 | what S steps, from `begin` on, and G channels contribute to A answers |
| `answers.attention` | (S,) float32 | (a classifier of texts) share of each symbol in the mean that is pooled |
| `writing.attention` | (T, S) float32 | where each written token looked |
| `writing.gradient` | (T, S) float32 | norm of the gradient of each one's log-probability by each source token |
| `attribution.{method}` | (A, W) float32 | signed share of the input at p - W + 1 + w; 0 before the beginning |
"""

from __future__ import annotations

from collections.abc import Sequence

FORMAT = 1
"""Version of the two files. A newer one is refused, with the advice to upgrade recur."""

INSPECTION, DECODER = "inspect", "inspect_decoder"
"""Names of the files, without suffixes: of a network, or the encoder of a translator, and of the decoder of one."""

LOOKS = f"{INSPECTION}_looks.png"
"""The picture of where each token that a translator wrote looked, where it has an attention."""

MAX_SYMBOLS = 5_000
"""Symbols of a text, or steps of a series, that are shown."""

MAX_UNITS = 12
"""Units that are listed for a property."""

MOST_GAP = 0.01
"""By how much of all contributions together, in size, their sum may miss what it should be without a word."""

MAX_CHANNELS = 12
"""Channels of a series that are shown, and that units are searched for."""


def told_share(shares: Sequence[float]) -> int:
    """Return the place of the share of deleted inputs that is put into words: the middle one of several.

    Example:
        >>> told_share([0.05, 0.1, 0.2, 0.4])
        2
    """
    return len(shares) // 2
