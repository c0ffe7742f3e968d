"""Options that name files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from recur.data.text import check_found
from recur.errors import DataError


@dataclass(frozen=True, kw_only=True)
class NamesFiles:
    """Options of which some name files or folders."""

    file_options: ClassVar[tuple[str, ...]] = ()
    """Names of those options."""

    @property
    def files(self) -> list[str]:
        """The files and folders that are named."""
        return [name for names in self._named() for name in names]

    def check_found(self) -> None:
        """Raise unless each of them is there.

        Raises:
            DataError: One is missing or out of reach.
        """
        for names in self._named():
            try:
                check_found(names)
            except DataError as error:
                if len(names) == 1:
                    raise
                raise DataError(f"{error} Put a name that has a comma in double quotes.") from None

    def _named(self) -> list[list[str]]:
        """Return what each option names that is given."""
        given = [getattr(self, option) for option in self.file_options]
        return [self.names_in(source) for source in given if source is not None]

    @staticmethod
    def names_in(source: str) -> list[str]:
        """Return the files or folders that one of those options names."""
        return [source]

    @staticmethod
    def naming(names: Sequence[str]) -> str:
        """Return what such an option is given as to name the files or folders that `names_in` returned."""
        (name,) = names
        return name
