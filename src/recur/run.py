"""The run folder: the one interface between training, report and command line.

| file | holds |
| --- | --- |
| `config.json` | the format, the task, and every option after defaults: all that rebuilds the model |
| `env.json` | versions, processor, threads, back ends and their refusals |
| `schema.json` | vocabulary, counts of symbols, and where the corpus came from |
| `model.json` | the model's table of layers |
| `metrics.jsonl` | one JSON object a line: training, validation, samples |
| `model.safetensors` | the best weights, with their checksum |
| `evaluation.json` | held-out figures, baselines, the most surprising passages |
| `forecast_evaluation.json` | the same of forecasts: beside the naive rules, by step, series and time, examples |
| `label_evaluation.json` | the same of classes, numbers and tags that are told: beside naive rules, the worst ones |
| `translate_evaluation.json`, `write_evaluation.json` | the same of texts written from texts, or from labels |
| `vectors.safetensors` | of texts: the vectors that words begin with |
| `rule.safetensors`, `lexicon.json` | of texts and tags: the rule that the model is judged beside, or that speaks too |
| `scaler.safetensors` | of series: what each channel is scaled by |
| `detect_evaluation.json` | of anomalies: alarms beside the truth or the stated rate, the highest scores |
| `detector.safetensors`, `detector.json` | of anomalies: what errors and scores were ordinary, and of which series |
| `calibration.safetensors` | of forecasts and numbers: what intervals lack; of others: how sure to be, a rule's share |
| `yardstick.json` | of forecasts: the unit of MASE for each series, and how sure the naive rules are |
| `known_rows.safetensors` | of forecasters: the last rows of each series that they know |
| `replay.safetensors` | of forecasters that learnt on: windows of older data |
| `adaptations.json` | of such: what each time changed |
| `inspect.json`, `inspect.safetensors` | what `recur inspect` found inside the network on one text |
| `checkpoints/` | what resuming needs |
| `members/` | of an ensemble: the runs of its networks, whose weights are all in `model.safetensors` too |
| `inspect_decoder.json`, `inspect_decoder.safetensors` | of a translator: the same of its decoder |
| `report.html`, `inspect.html`, `inspect_decoder.html`, `*.png` | to look at |

Every file is written to a temporary name in the same folder and then renamed, so a kill at any moment leaves either the
old file or the new one. Loading reads JSON and safetensors only and never runs code from the folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recur.errors import RunError
from recur.kinds import is_whole
from recur.wording import option

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
"""Version of the run folder's layout. A newer one is refused, with the advice to upgrade recur."""

CHECKPOINT = "checkpoints/last.ckpt"
"""File of a run from which its training goes on."""

_OWN_NAMES = {
    "config.json",
    "env.json",
    "schema.json",
    "model.json",
    "metrics.jsonl",
    "model.safetensors",
    "evaluation.json",
    "forecast_evaluation.json",
    "detect_evaluation.json",
    "detector.json",
    "detector.safetensors",
    "label_evaluation.json",
    "translate_evaluation.json",
    "write_evaluation.json",
    "rule.safetensors",
    "vectors.safetensors",
    "lexicon.json",
    "scaler.safetensors",
    "calibration.safetensors",
    "replay.safetensors",
    "known_rows.safetensors",
    "adaptations.json",
    "yardstick.json",
    "inspect.json",
    "inspect.safetensors",
    "inspect.html",
    "inspect_decoder.json",
    "inspect_decoder.safetensors",
    "inspect_decoder.html",
    "checkpoints",
    "members",
    "report.html",
    "loss.png",
    "learning_rate.png",
    "gradient_norm.png",
    "throughput.png",
    "memory.png",
    "tensorboard",
}


@contextmanager
def explained_os_errors(path: Path, advice: str = "") -> Iterator[None]:
    """Turn an `OSError` of writing `path` into a `RunError` that says what happened and what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{_cause(error, path)}{'; ' + advice if advice else ''}.") from error


def _cause(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: the disk is full, nothing more can be written; free some space"
    if error.errno == errno.EFBIG:
        return f"{path}: the file would be larger than this system allows"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path}: cannot be written ({error.strerror}); choose another folder with {option('out')}"
    return f"{path}: {error.strerror or error}"


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a temporary file beside `path`, flush it to the disk, and rename it to `path`.

    Raises:
        RunError: The file cannot be written: no permission, a full disk.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained_os_errors(path):
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def json_text(content: Mapping[str, Any]) -> str:
    """Return what a JSON file of a run holds.

    Raises:
        TypeError: Something in it is nothing that JSON has.
        ValueError: A number is not finite.
    """
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text_atomic(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""

    def write(temporary: Path) -> None:
        # Half a surrogate pair, as of a file name that is no UTF-8, becomes its escape, which JSON reads back.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))

    write_atomic(path, write)


class RunFolder:
    """A run on disk.

    Example:
        >>> import tempfile
        >>> run = RunFolder.create(Path(tempfile.mkdtemp()) / "first")
        >>> run.write_json("config.json", {"format": FORMAT, "task": "language"})
        >>> RunFolder.open(run.path).config()["task"]
        'language'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    # --- making and finding -------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False, named: str = "out") -> RunFolder:
        """Make an empty run folder.

        Args:
            path: Where; its parents are made too.
            overwrite: Whether a run that stands there may be deleted. A folder that is no run is never touched, and in
                one that is a run what is not the run's stays.
            named: What whoever asks for it calls `path`: "out" where one trains, "path" where a model is saved.

        Raises:
            RunError: The folder exists, or cannot be made or written.
        """
        run = cls(path)
        is_old = cls.check_free(path, overwrite=overwrite, named=named)
        with explained_os_errors(run.path):
            if is_old:
                run._clear()
            (run.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        return run

    @classmethod
    def check_free(cls, path: str | Path, *, overwrite: bool = False, named: str = "out") -> bool:
        """Return whether an old run stands at `path`, to be deleted by `create`; arguments and errors as there."""
        run = cls(path)
        with explained_os_errors(run.path):
            if run.path.exists():
                return run._is_in_the_way(overwrite, named)
            parent = next(folder for folder in run.path.absolute().parents if folder.exists())
        if not parent.is_dir():
            raise RunError(
                f"{run.path}: cannot be made, for {parent} is not a folder; choose another one with {option(named)}."
            )
        if not os.access(parent, os.W_OK | os.X_OK):
            raise RunError(
                f"{run.path}: cannot be made, for {parent} is not writable; choose another one with {option(named)}."
            )
        return False

    def _is_in_the_way(self, overwrite: bool, named: str) -> bool:
        if not self.path.is_dir():
            raise RunError(f"{self.path}: exists and is not a folder; choose another one with {option(named)}.")
        names = {entry.name for entry in self.path.iterdir()}
        if not names:
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise RunError(f"{self.path}: is not writable; choose another folder with {option(named)}.")
            return False
        is_run = self._is_run(names)
        if not overwrite:
            is_trained = is_run and named == "out"
            go_on = f", go on with it by `recur train --resume {self.path}`," if is_trained else ""
            way_out = f"give {option('overwrite', True)} to replace it{go_on} or" if is_run else "please"
            raise RunError(f"{self.path}: exists already; {way_out} choose another folder with {option(named)}.")
        if not is_run:
            raise RunError(
                f"{self.path}: is not a run folder, so it is not overwritten; choose another with {option(named)}."
            )
        return True

    def _clear(self) -> None:
        """Delete what a run writes; people keep notes and exports beside it."""
        # The config goes last: until then a kill leaves what is taken for a run, to be overwritten again.
        for entry in sorted(self.path.iterdir(), key=lambda entry: entry.name == "config.json"):
            if not _is_own(entry.name):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _is_run(self, names: set[str]) -> bool:
        """Return whether the folder, which holds `names`, is a run: by its config, or as nothing else is in it."""
        # Other programs too write a config.json or a folder checkpoints, and theirs must not be deleted.
        try:
            config = self.read_json("config.json")
        except RunError:
            # Damaged, or of a training that was killed before it wrote its config.
            checkpoints = {path.name for path in (self.path / "checkpoints").glob("*")}
            return (
                "checkpoints" in names
                and all(_is_own(name) for name in names)
                and all(name == "last.ckpt" or name.endswith(".tmp") for name in checkpoints)
            )
        return "format" in config and "task" in config

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Return the run at `path`.

        Raises:
            RunError: There is no run, or it was written by a newer recur.
        """
        run = cls(path)
        try:
            is_there, has_config = run.path.is_dir(), (run.path / "config.json").is_file()
            is_file = run.path.is_file()
        except OSError as error:
            raise RunError(f"{run.path}: cannot be read ({error.strerror}).") from error
        if is_file:
            raise RunError(f"{run.path}: is a file, not a run folder; give the folder that `recur train` made.")
        if not is_there:
            raise RunError(f"{run.path}: no such run folder; `recur train DATA --out {run.path}` would make one.")
        if not has_config:
            raise RunError(f"{run.path}: is not a run folder: it has no config.json.")
        run.config()
        return run

    # --- JSON files ---------------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Return `config.json`, checked for its format.

        Raises:
            RunError: It is missing, damaged, or of a newer format.
        """
        config = self.read_json("config.json")
        written = config.get("format")
        if not is_whole(written, 1):
            raise RunError(f"{self.path / 'config.json'}: damaged: its format is {written!r}, expected {FORMAT}.")
        if written > FORMAT:
            raise RunError(
                f"{self.path}: written by a newer recur (format {written}, this one reads up to {FORMAT}); "
                "upgrade recur."
            )
        return config

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write `content` to the file `name`, atomically. Numbers that are not finite are refused."""
        write_text_atomic(self.path / name, json_text(content))

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the object in the file `name`.

        Raises:
            RunError: The file is missing, cannot be read, or is not a JSON object.
        """
        path = self.path / name
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise RunError(f"{path}: missing; the run is incomplete.") from error
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror}).") from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}: damaged: {error}.") from error
        if not isinstance(content, dict):
            raise RunError(f"{path}: damaged: expected a JSON object, found {type(content).__name__}.")
        return content

    @contextmanager
    def entries_of(self, name: str) -> Iterator[Any]:
        """Hand out the object in the file `name`, whose entries are taken in the block; what is wrong there names it.

        Raises:
            RunError: As of `read_json`; or an entry is missing, of another kind, or out of range.
        """
        content = self.read_json(name)
        path = self.path / name
        try:
            yield content
        except RunError as error:
            raise RunError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            said = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise RunError(f"{path}: damaged: {said}.") from error

    def has(self, name: str) -> bool:
        """Return whether the run has the file `name`."""
        return (self.path / name).is_file()

    # --- metrics ------------------------------------------------------------------------------------------------

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`. A non-finite number is written as null."""
        path = self.path / "metrics.jsonl"
        line = json.dumps({key: _finite(value) for key, value in row.items()}, ensure_ascii=False, allow_nan=False)
        with explained_os_errors(path), path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of `metrics.jsonl`; a last line that a kill cut short is left out.

        Raises:
            RunError: A line before the last is damaged, or the file cannot be read.
        """
        path = self.path / "metrics.jsonl"
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror}).") from error
        rows: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("not an object")
            except (ValueError, RecursionError) as error:
                if number == len(lines):
                    break
                raise RunError(f"{path}, line {number}: damaged: {error}.") from error
            rows.append(row)
        return rows

    def forget_metrics_after(self, step: int) -> None:
        """Drop the rows of steps after `step`, which a resumed training will write again.

        Raises:
            RunError: The file is damaged, or cannot be written.
        """
        rows = self.metrics()
        for row in rows:
            if not isinstance(row.get("step", 0), int | float):
                raise RunError(f"{self.path / 'metrics.jsonl'}: damaged: {row['step']!r} is no number of a step.")
        rows = [row for row in rows if row.get("step", 0) <= step]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_text_atomic(self.path / "metrics.jsonl", text)

    # --- weights ------------------------------------------------------------------------------------------------

    def save_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Write `model.safetensors` with a checksum over every tensor in its metadata."""
        contiguous = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in weights.items()}
        # One key, because the order of several is not the same from one process to the next.
        self.write_tensors("model.safetensors", contiguous, metadata={"sha256": checksum(contiguous)})

    def write_tensors(
        self, name: str, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write `tensors`, contiguous and on the CPU, to the safetensors file `name`, atomically."""
        from safetensors.torch import save

        # Not save_file, which hides a full disk behind an error of its own that is no OSError.
        content = save(dict(tensors), metadata=None if metadata is None else dict(metadata))

        def write(temporary: Path) -> None:
            temporary.write_bytes(content)

        write_atomic(self.path / name, write)

    def weights_checksum(self) -> str | None:
        """Return the checksum in `model.safetensors`, as `checksum` computes it; None where none can be read."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self.path / "model.safetensors"), framework="np") as file:
                return (file.metadata() or {}).get("sha256")
        except (SafetensorError, OSError, ValueError):
            return None

    def is_unfinished(self) -> bool:
        """Return whether the weights are those of a training on its way, stopped or not: never judged at its end.

        Raises:
            RunError: A judgement is damaged.
        """
        if not self.has(CHECKPOINT) or not self.has("model.safetensors"):
            return False
        judged = self._judged_weights()
        return not judged or not {None, self.weights_checksum()}.intersection(judged)

    def is_judged(self) -> bool:
        """Return whether these very weights were judged at the end of their training; not where that is damaged."""
        weights = self.weights_checksum()
        try:
            return weights is not None and weights in self._judged_weights()
        except RunError:
            return False

    def _judged_weights(self) -> list[str | None]:
        """Return the checksum of the weights that each judgement is of; None of one that does not tell."""
        # What every task writes last has its own name, but this ending.
        return [self.read_json(path.name).get("weights") for path in self.path.glob("*evaluation.json")]

    def load_weights(self) -> dict[str, Tensor]:
        """Return the tensors of `model.safetensors`, on the CPU.

        Raises:
            RunError: The file is missing, truncated, or its checksum is wrong.
        """
        path = self.path / "model.safetensors"
        if not path.is_file():
            raise RunError(
                f"{path}: missing; was the training stopped before its first validation? "
                f"Then go on with: recur train --resume {self.path}"
            )
        weights, metadata = self._read_tensors(path)
        if metadata.get("sha256") != checksum(weights):
            raise RunError(f"{path}: damaged: its checksum is wrong; restore it, or train again.")
        return weights

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of the safetensors file `name`, on the CPU.

        Raises:
            RunError: The file is missing or damaged.
        """
        return self.read_tensors_and_metadata(name)[0]

    def read_tensors_and_metadata(self, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the tensors of the safetensors file `name`, on the CPU, and what was written beside them.

        Raises:
            RunError: The file is missing or damaged.
        """
        path = self.path / name
        if not path.is_file():
            raise RunError(f"{path}: missing; the run is incomplete.")
        return self._read_tensors(path)

    def delete(self, name: str) -> None:
        """Delete a file of the run, if it is there.

        Raises:
            RunError: It cannot be deleted.
        """
        with explained_os_errors(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def _read_tensors(self, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the tensors of a file that is there, and its metadata."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError, ValueError, UnicodeError) as error:
            raise RunError(f"{path}: damaged: {_one_line(error)}; restore it, or train again.") from error


def _is_own(name: str) -> bool:
    is_picture = name.startswith(("inspect_", "forecast_", "label_", "detect_", "translate_")) and name.endswith(".png")
    return name in _OWN_NAMES or is_picture or (name.startswith(".") and name.endswith(".tmp"))


def checksum(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and values of tensors, in hexadecimal digits."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
