"""Options that name files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import exists, isabs
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
        return [name for source in self._given() for name in self.names_in(source)]

    def check_found(self) -> None:
        """Raise unless each of them is there.

        Raises:
            DataError: One is missing or out of reach.
        """
        for source in self._given():
            names = self.names_in(source)
            try:
                check_found(names)
            except DataError as error:
                if not _may_be_one(source, names):
                    raise
                raise DataError(f"{error} Put a name that has a comma in double quotes.") from None

    def _given(self) -> list[str]:
        """Return what each option says that is given."""
        given = [getattr(self, option) for option in self.file_options]
        return [source for source in given if source is not None]

    @staticmethod
    def names_in(source: str) -> list[str]:
        """Return the files or folders that one of those options names."""
        return [source]

    @staticmethod
    def naming(names: Sequence[str]) -> str:
        """Return what such an option is given as to name the files or folders that `names_in` returned."""
        (name,) = names
        return name


def _may_be_one(source: str, names: Sequence[str]) -> bool:
    """Return whether what was taken for several names may be a single one that has a comma.

    It is none where some of them are there, where quotes tell one from the other, and where all are whole paths, as
    those of a run's options are.
    """
    # Not by pathlib, which stumbles over folders that may not be looked into.
    is_told = '"' in source or any(map(exists, names)) or all(map(isabs, names))
    return len(names) > 1 and not is_told
