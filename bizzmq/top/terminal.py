"""The terminal program: it reads Redis in a thread, so keys answer at once also while Redis does not."""

from __future__ import annotations

import time
from functools import partial
from typing import Callable, ClassVar, Dict, List, Mapping, Optional, Sequence

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.widgets import Footer, Input, Static, TabbedContent, TabPane

from bizzmq.client import BizzMQ
from bizzmq.errors import BizzMQError
from bizzmq.top import acts, tables
from bizzmq.top.dialogs import Entry, Question, Reading
from bizzmq.top.picture import Failing, Picture
from bizzmq.top.reader import Reader
from bizzmq.top.row_table import RowTable
from bizzmq.utils.wording import counted, span

_STYLES: Mapping[str, str] = {"error": "bold red", "warning": "yellow"}
_TABS: Mapping[str, tables.Columns] = {
    "queues": tables.QUEUES, "running": tables.RUNNING, "pools": tables.POOLS, "failures": tables.FAILURES,
}  # fmt: skip


class TopApp(App[None]):
    """Queues, running messages, pools and failures.

    Args:
        mq: the client that reads and acts.
        every_s: the seconds between two looks.
    """

    TITLE = "bizzmq top"
    CSS_PATH = "top.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[List[BindingType]] = [
        Binding("1", "tab('queues')", "queues", show=False),
        Binding("2", "tab('running')", "running", show=False),
        Binding("3", "tab('pools')", "pools", show=False),
        Binding("4", "tab('failures')", "failures", show=False),
        Binding("enter", "show", "show", priority=False),
        Binding("p", "pause", "pause/resume"),
        Binding("c", "cancel", "cancel"),
        Binding("r", "retry", "retry"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape", "leave_filter", "all", show=False),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, mq: BizzMQ, every_s: float) -> None:
        super().__init__()
        self._mq, self._every_s = mq, every_s
        self._reader = Reader(mq)
        self._picture = Picture()
        self._failing: List[Failing] = []
        self._is_reading = False
        self._away_since_s: Optional[float] = None
        self._wanted = ""
        self._rows: Dict[str, List[tables.Row]] = {}

    def compose(self) -> ComposeResult:
        """One line of sums, what is wrong, a table in each tab, and the keys."""
        yield Static(id="summary", markup=False)
        yield Static(id="away", markup=False)
        yield Static(id="troubles")
        with TabbedContent(initial="queues"):
            for number, (name, columns) in enumerate(_TABS.items(), 1):
                with TabPane(f"{number} {name}", id=name):
                    yield RowTable(columns, f"{name}-table")
        yield Input(placeholder="show only rows with this text", id="filter")
        yield Footer()

    def on_mount(self) -> None:
        """Look at once, and then again and again."""
        self._table("queues").focus()
        self.set_interval(self._every_s, self._look)
        self._look()

    def _look(self) -> None:
        if self._is_reading:
            self._show_away()
            return
        self._is_reading = True
        self._read(self.query_one(TabbedContent).active == "failures")

    @work(thread=True, exclusive=False)
    def _read(self, with_failures: bool) -> None:
        try:
            picture = self._reader.read()
            failing = self._reader.read_failing(picture) if with_failures else None
        except BizzMQError as error:
            self.call_from_thread(self._is_away, error)
        else:
            self.call_from_thread(self._took, picture, failing)

    def _took(self, picture: Picture, failing: Optional[Sequence[Failing]]) -> None:
        self._is_reading, self._away_since_s = False, None
        self._picture = picture
        if failing is not None:
            self._failing = list(failing)
        self._show_away()
        try:
            self._show()
        except NoMatches:
            return  # the program ends

    def _is_away(self, error: BizzMQError) -> None:
        self._is_reading = False
        self._away_since_s = self._away_since_s or time.monotonic()
        self._show_away(str(error))

    def _show_away(self, why: str = "") -> None:
        """Say that what is shown is old, while it is."""
        try:
            away = self.query_one("#away", Static)
        except NoMatches:
            return  # the program ends
        self.screen_stack[0].set_class(self._away_since_s is not None, "stale")
        away.set_class(self._away_since_s is not None, "shown")
        if self._away_since_s is not None and why:
            since = span(time.monotonic() - self._away_since_s)
            away.update(f"Redis cannot be asked for {since}; this is what it said last. {why}")

    def _show(self) -> None:
        picture = self._picture
        self._rows = {
            "queues": tables.queue_rows(picture), "running": tables.running_rows(picture.running),
            "pools": tables.pool_rows(picture), "failures": tables.failure_rows(self._failing),
        }  # fmt: skip
        self.query_one("#summary", Static).update(tables.summary(picture))
        lines = [Text(one.sentence, style=_STYLES.get(one.level, "")) for one in picture.troubles]
        self.query_one("#troubles", Static).update(Text("\n").join(lines))
        for name, rows in self._rows.items():
            self._table(name).fill(rows, self._wanted)

    def _table(self, name: str) -> RowTable:
        return self.query_one(f"#{name}-table", RowTable)

    @property
    def _tab(self) -> str:
        return self.query_one(TabbedContent).active

    def _selected(self) -> Optional[str]:
        """The key of the row under the cursor; None, with a word to the user, if there is none."""
        key = self._table(self._tab).key_under_cursor
        if key is None:
            self.notify("There is no row under the cursor.", severity="warning")
        return key

    def action_tab(self, name: str) -> None:
        """Show another tab."""
        self.query_one(TabbedContent).active = name
        self._table(name).focus()
        if name == "failures":
            self._look()

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """Give the table of the tab the keys."""
        self._table(event.pane.id or "queues").focus()
        if event.pane.id == "failures":
            self._look()

    def on_data_table_row_selected(self) -> None:
        """Enter on a row shows it."""
        self.action_show()

    def action_show(self) -> None:
        """Show everything about the row under the cursor."""
        key = self._selected()
        if key is None:
            return
        if self._tab == "running":
            queue = self._queue_of(key)
            self._act(partial(acts.show, self._mq, queue, key), title=key)
        elif self._tab == "failures":
            found = self._failure(key)
            if found is not None:
                self._act(partial(acts.show, self._mq, found.queue, found.group.last_id), title=found.group.last_id)
        elif self._tab == "queues":
            row = next((row for row in self._picture.rows if row.queue == key), None)
            if row is not None:
                self.push_screen(Reading(key, tables.about_queue(row, self._picture)))
        else:
            self.push_screen(Reading(key, tables.about_pool(self._picture.reports.get(key, ()))))

    def action_pause(self) -> None:
        """Pause or resume the queue under the cursor."""
        key = self._selected_in("queues")
        if key is None:
            return
        if self._picture.is_paused(key):
            self._ask(f"Resume {key}?", partial(acts.resume, self._mq, key))
            return

        def answered(reason: Optional[str]) -> None:
            if reason is not None:
                self._act(partial(acts.pause, self._mq, key, reason))

        self.push_screen(Entry(f"Pause {key} on all hosts? Why (may be empty):"), answered)

    def action_cancel(self) -> None:
        """Cancel the running message under the cursor."""
        key = self._selected_in("running")
        if key is not None:
            self._ask(f"Cancel {key}, which runs?", partial(acts.cancel, self._mq, self._queue_of(key), key))

    def action_retry(self) -> None:
        """Replay the dead letters of the queue, or of the failure, under the cursor."""
        if self._tab == "queues":
            key = self._selected()
            row = next((row for row in self._picture.rows if row.queue == key), None)
            if key is not None and row is not None and row.stats is not None:
                self._retry(key, None, row.stats.dead_lettered)
            return
        key = self._selected_in("failures")
        found = None if key is None else self._failure(key)
        if found is not None:
            self._retry(found.queue, found.group.fingerprint, found.group.count)

    def _retry(self, queue: str, fingerprint: Optional[str], count: int) -> None:
        if not count:
            self.notify(f"{queue} has no dead letters.")
            return
        which = "" if fingerprint is None else " of this failure"
        question = f"Replay {counted(count, 'dead letter')}{which} of {queue}?"
        self._ask(question, partial(acts.retry, self._mq, queue, fingerprint))

    def action_filter(self) -> None:
        """Ask for a text that rows must have."""
        line = self.query_one("#filter", Input)
        line.add_class("shown")
        line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show the rows that have the text."""
        if event.input.id == "filter":
            self._wanted = event.value
            self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Give the keys back to the table."""
        if event.input.id == "filter":
            event.input.set_class(bool(event.value), "shown")
            self._table(self._tab).focus()

    def action_leave_filter(self) -> None:
        """Show all rows again."""
        line = self.query_one("#filter", Input)
        line.value = ""
        line.remove_class("shown")
        self._table(self._tab).focus()

    def _selected_in(self, tab: str) -> Optional[str]:
        if self._tab != tab:
            self.notify(f"This key acts on a row of {tab}.", severity="warning")
            return None
        return self._selected()

    def _queue_of(self, message_id: str) -> str:
        return next((one.queue for one in self._picture.running if one.message.message_id == message_id), "")

    def _failure(self, key: str) -> Optional[Failing]:
        return next((one for one in self._failing if f"{one.queue} {one.group.fingerprint}" == key), None)

    def _ask(self, question: str, act: Callable[[], str]) -> None:
        def answered(answer: Optional[bool]) -> None:
            if answer:
                self._act(act)

        self.push_screen(Question(question), answered)

    @work(thread=True)
    def _act(self, act: Callable[[], str], title: str = "") -> None:
        """Do it in a thread, and say or show what came of it."""
        try:
            text = act()
        except BizzMQError as error:
            self.call_from_thread(partial(self.notify, str(error), severity="error", markup=False))
            return
        if title:
            self.call_from_thread(self.push_screen, Reading(title, text))
        else:
            self.call_from_thread(partial(self.notify, text, markup=False))
            self.call_from_thread(self._look)
