"""The widget of a table: it shows rows that change, and its cursor stays on its row."""

from __future__ import annotations

from typing import List, Optional, Sequence

from rich.text import Text
from textual.widgets import DataTable

from bizzmq.top.tables import Columns, Row


class RowTable(DataTable[Text]):
    """A table with a row for each thing."""

    def __init__(self, columns: Columns, name: str) -> None:
        super().__init__(id=name, cursor_type="row", zebra_stripes=True, cell_padding=1)
        self._columns = columns
        for column in columns.names:
            self.add_column(column, key=column)

    @property
    def key_under_cursor(self) -> Optional[str]:
        """The key of the row under the cursor; None if there is none."""
        if not self.row_count:
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def fill(self, rows: Sequence[Row], wanted: str) -> None:
        """Show the rows that have a text; the cursor stays on its row, wherever that is now."""
        wanted = wanted.casefold()
        shown = [row for row in rows if wanted in " ".join(row.cells).casefold()]
        under, place = self.key_under_cursor, self.cursor_row
        keys = [row.key for row in shown]
        if [key.value for key in self.rows] != keys:
            self.clear()
            for row in shown:
                self.add_row(*self._texts(row), key=row.key)
            if keys:
                self.move_cursor(row=keys.index(under) if under in keys else min(place, len(keys) - 1))
            return
        for row in shown:
            for name, text in zip(self._columns.names, self._texts(row)):
                if self.get_cell(row.key, name) != text:
                    self.update_cell(row.key, name, text, update_width=True)

    def _texts(self, row: Row) -> List[Text]:
        """The cells as plain text: what comes from Redis is never markup."""
        return [
            Text(cell, justify="right" if name in self._columns.numbers else "left")
            for name, cell in zip(self._columns.names, row.cells)
        ]
