"""Options that name files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class NamesFiles:
    """Options of which some name files or folders."""

    file_options: ClassVar[tuple[str, ...]] = ()
    """Names of those options."""

    @property
    def files(self) -> list[str]:
        """The files and folders that are named."""
        given = [getattr(self, option) for option in self.file_options]
        return [name for source in given if source is not None for name in self.names_in(source)]

    @staticmethod
    def names_in(source: str) -> list[str]:
        """Return the files or folders that one of those options names."""
        return [source]
