"""What the estimators have in common: options as parameters, and a run that is kept in memory."""

from __future__ import annotations

import difflib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rich.console import Console

from recur.errors import OptionError, RunError
from recur.kinds import with_tuples
from recur.report import write_report
from recur.run import RunFolder, write_atomic
from recur.tasks.loading import load

if TYPE_CHECKING:
    import torch

try:
    from sklearn.base import BaseEstimator
    from sklearn.base import ClassifierMixin as ClassifierMixin
    from sklearn.base import OutlierMixin as OutlierMixin
    from sklearn.base import RegressorMixin as RegressorMixin
    from sklearn.exceptions import NotFittedError
except ModuleNotFoundError:

    class BaseEstimator:  # type: ignore[no-redef]
        """Stands where scikit-learn is not installed: everything works but what scikit-learn itself would call."""

    class ClassifierMixin:  # type: ignore[no-redef]
        """What says that an estimator tells classes."""

    class OutlierMixin:  # type: ignore[no-redef]
        """What says that an estimator finds anomalies."""

    class RegressorMixin:  # type: ignore[no-redef]
        """What says that an estimator tells numbers."""

    class NotFittedError(ValueError, AttributeError):  # type: ignore[no-redef]
        """An estimator is used before it is fitted."""


_SECTIONS = {"series": "data", "texts": "data", "sentences": "data"}
"""What `config.json` calls the options of an argument, where it is not the argument's name."""

_REMADE = (".html", ".png")
"""Suffixes of the files of a run that are made of the others."""


class RunEstimator(BaseEstimator):  # type: ignore[misc]
    """The base of the estimators: its parameters are the fields of the options of a training, one by one.

    Where scikit-learn is installed, this is a `sklearn.base.BaseEstimator`.

    Attributes:
        trained_: What `recur.load` returns for the run.
        run_: Path of the run folder; None where it was a temporary one.
        evaluation_: How good it is on the held-out part; empty where the training did not come to judging.
    """

    task: ClassVar[str]
    """What `config.json` calls the task."""
    options: ClassVar[Mapping[str, type[Any]]]
    """Dataclasses of options, by the argument of the training function."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Of parameters whose default is not that of the options."""
    evaluation: ClassVar[str]
    """The file of a run that says how good it is."""

    trained_: Any
    run_: Path | None
    evaluation_: dict[str, Any]
    _files: dict[str, bytes]

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Give the class a constructor whose signature names every parameter."""
        super().__init_subclass__(**arguments)
        if "options" in vars(cls):
            setattr(cls, "__init__", _constructor(cls))  # noqa: B010 - not by assignment, for it has another signature

    # --- parameters ---

    @classmethod
    def _parameters(cls) -> dict[str, Any]:
        """Return every parameter with its default."""
        found: dict[str, Any] = {"out": None, "overwrite": False, "verbose": False}
        for kind in cls.options.values():
            for field in fields(kind):
                assert field.default is not MISSING, field.name
                assert field.name not in found, field.name
                found[field.name] = cls.defaults.get(field.name, field.default)
        return found

    def _chosen(self) -> dict[str, Any]:
        """Return the options by the argument of the training function.

        Raises:
            OptionError: A value makes no sense.
        """
        return {
            argument: kind(**{field.name: getattr(self, field.name) for field in fields(kind)})
            for argument, kind in self.options.items()
        }

    # --- runs ---

    @contextmanager
    def _run(self, train: Callable[..., RunFolder], data: Any, **more: Any) -> Iterator[RunFolder]:
        """Train, and hand out the run folder, a temporary one unless `out` names one.

        Args:
            train: The training function.
            data: Its data.
            more: Further arguments, or others in place of options.
        """
        chosen = self._chosen()
        if self.out is None:
            # Nobody could look at it.
            chosen["training"] = replace(chosen["training"], no_report=True)
        with tempfile.TemporaryDirectory(prefix="recur") as folder:
            yield train(
                data,
                out=Path(folder) / "run" if self.out is None else Path(self.out),
                overwrite=bool(self.overwrite),
                console=None if self.verbose else Console(quiet=True),
                **(chosen | more),
            )

    def _keep(self, run: RunFolder, device: str | torch.device = "cpu") -> None:
        """Take a finished run over, with all that `save` needs.

        Raises:
            RunError: The run is incomplete or damaged.
        """
        self.trained_ = load(run, device=device)
        self.evaluation_ = run.read_json(self.evaluation) if run.has(self.evaluation) else {}
        self._files = {
            path.name: path.read_bytes()
            for path in sorted(run.path.iterdir())
            if path.is_file() and path.suffix not in _REMADE
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a run folder, which `load`, `recur.load` and the command line read.

        Args:
            path: Where.
            overwrite: Whether a run that stands there may be replaced.

        Raises:
            NotFittedError: The estimator was not fitted.
            RunError: The folder exists, or cannot be written.
        """
        self._check_fitted()
        run = RunFolder.create(path, overwrite=overwrite, named="path")
        # The config goes last, for it makes the folder a run.
        for name in sorted(self._files, key=lambda name: name == "config.json"):
            content = self._files[name]
            write_atomic(run.path / name, lambda temporary, content=content: temporary.write_bytes(content))  # type: ignore[misc]
        write_report(run)

    @classmethod
    def load(cls, run: str | Path | RunFolder, *, device: str | torch.device = "cpu") -> Self:
        """Return the estimator of a run folder, whoever made it; its parameters are what the run was trained with.

        Nothing in the folder is executed.

        Args:
            run: The folder.
            device: Where the network shall compute.

        Raises:
            RunError: The folder is missing, damaged, of a newer format, or of another task.
        """
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        config = folder.config()
        if config.get("task") != cls.task:
            raise RunError(
                f"{folder.path}: is a run of task {config.get('task')!r}, but {cls.__name__} is of {cls.task!r}."
            )
        loaded = cls(**_parameters_of(folder, config, cls.options))
        loaded._keep(folder, device)
        loaded.run_ = folder.path
        return loaded

    # --- fitted ---

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether `fit` or `load` was called."""
        return hasattr(self, "trained_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit first, or load a run.")


def _constructor(cls: type[RunEstimator]) -> Callable[..., None]:
    """Return an `__init__` that takes the parameters of a class, and does nothing but keep them."""
    defaults = cls._parameters()

    def __init__(self: RunEstimator, **parameters: Any) -> None:  # noqa: N807
        for name in parameters:
            if name not in defaults:
                near = difflib.get_close_matches(name, defaults, n=1)
                others = f"did you mean {near[0]}?" if near else f"there are {', '.join(defaults)}."
                raise TypeError(f"{cls.__name__}: there is no parameter {name!r}; {others}")
        for name, default in defaults.items():
            setattr(self, name, parameters.get(name, default))

    kind = inspect.Parameter
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            kind("self", kind.POSITIONAL_OR_KEYWORD),
            *(kind(name, kind.KEYWORD_ONLY, default=default) for name, default in defaults.items()),
        ]
    )
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    return __init__


def _parameters_of(run: RunFolder, config: Mapping[str, Any], options: Mapping[str, type[Any]]) -> dict[str, Any]:
    """Return the parameters that a run was trained with.

    Raises:
        RunError: An option is unknown or makes no sense.
    """
    found: dict[str, Any] = {}
    for argument, kind in options.items():
        # A run that was not trained by recur says nothing of some.
        content = config.get(_SECTIONS.get(argument, argument), {})
        try:
            chosen = kind(**with_tuples(content))
        except (TypeError, AttributeError, OptionError) as error:
            raise RunError(f"{run.path / 'config.json'}: damaged: {argument}: {str(error).rstrip('.')}.") from error
        found |= {field.name: getattr(chosen, field.name) for field in fields(kind)}
    return found
