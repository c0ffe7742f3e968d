"""How data of texts are read, whatever is told of them: saved with the run, it does the same with others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Generic, Self

from recur.data.series.options import OtherTableOptions
from recur.data.texts.options import TextOptions
from recur.data.texts.roles import TextRoles
from recur.run import RunFolder
from recur.tasks.text_source import ExamplesType, TextSource, again, texts_themselves


@dataclass(frozen=True, kw_only=True, eq=False)
class TextSetup(ABC, Generic[ExamplesType]):
    """What every setup of a run on texts has; `schema.json` holds it.

    Attributes:
        reading: How the data were read.
        roles: What the columns of the table were for; None where there was no table.
        seed: Of what was drawn for the parts.
        source: Where the data lie.
        given: What of the reading is said of other data, not of the run's own.
    """

    reading: TextOptions
    roles: TextRoles | None = None
    seed: int = 0
    source: TextSource | None = None
    given: tuple[str, ...] = ()

    options_of_reading: ClassVar[type[Any]]

    # --- data ---

    @abstractmethod
    def read(self, data: Any) -> ExamplesType:
        """Return other examples, read as those of the run were.

        Raises:
            DataError: They cannot be read.
        """

    def themselves(self, data: Any) -> list[Any] | None:
        """Return texts that are given as such, without what is to be told of them; None where data are something else.

        Raises:
            DataError: They are a text by itself, which would be the name of a file.
            TypeError: One of a list is no text.
        """
        return texts_themselves(data)

    def for_other(self, table: OtherTableOptions) -> Self:
        """Return the setup for other data, of which `table` says what is not written as in the run's own.

        Raises:
            OptionError: As `TextOptions.for_other`.
        """
        return replace(self, reading=self.reading.for_other(table), given=table.given)

    def own_examples(self, data: Any = None) -> ExamplesType:
        """Return the run's own examples, read again, with their parts.

        Args:
            data: The data once more; None to read them from where they lay.

        Raises:
            OptionError: Data are given, but the run knows where they lie.
            RunError: They are needed, as they were not in a file; or they have changed since.
            DataError: They cannot be read any more.
        """
        return again(self.source, data, self._in_parts)

    @abstractmethod
    def _in_parts(self, data: Any) -> ExamplesType:
        """Return examples of the run's own data as its training read them, each of a part."""

    # --- files ---

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """What tells whether weights were trained with it, SHA-256."""

    def to_json(self) -> dict[str, Any]:
        """Return what `schema.json` holds."""
        return {
            **self._own_entries(),
            "reading": asdict(self.reading),
            "roles": None if self.roles is None else self.roles.to_json(),
            "seed": self.seed,
            "source": None if self.source is None else asdict(self.source),
        }

    @abstractmethod
    def _own_entries(self) -> dict[str, Any]:
        """Return what `_of_entries` takes: what the setups of one task have beside these, as JSON has it."""

    @classmethod
    def load(cls, folder: RunFolder) -> Self:
        """Return the setup of a run.

        Raises:
            RunError: `schema.json` is missing or damaged.
        """
        with folder.entries_of("schema.json") as content:
            own = cls._of_entries(content)
            source, roles = content["source"], content["roles"]
            return cls(
                **own,
                reading=cls.options_of_reading(**content["reading"]),
                roles=None if roles is None else TextRoles.from_json(roles),
                seed=int(content["seed"]),
                source=None if source is None else TextSource.from_json(source),
            )

    @classmethod
    @abstractmethod
    def _of_entries(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that `_own_entries` told.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry is of another kind.
            ValueError: An entry is out of range.
        """
