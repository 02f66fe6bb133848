"""The dialogs of `bizzmq top`: a question before an act, and a text to read."""

from __future__ import annotations

from typing import ClassVar, List, Tuple, Union

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

Bindings = List[Union[Binding, Tuple[str, str], Tuple[str, str, str]]]


class Question(ModalScreen[bool]):
    """Asks before an act. Its answer is True for yes."""

    BINDINGS: ClassVar[List[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The question, and the keys that answer it."""
        with Vertical(classes="dialog"):
            yield Static(self._text, markup=False)
            yield Static("y: yes   n: no", classes="keys")

    def action_answer(self, answer: bool) -> None:
        """Close with this answer."""
        self.dismiss(answer)


class Entry(ModalScreen[str]):
    """Asks for a line of text. Its answer is the line; None if the question was left by Escape."""

    BINDINGS: ClassVar[List[BindingType]] = [Binding("escape", "leave", "leave")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The question, and a line to fill in."""
        with Vertical(classes="dialog"):
            yield Static(self._text, markup=False)
            yield Input()
            yield Static("Enter: do it   Escape: leave it", classes="keys")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close with the line."""
        self.dismiss(event.value)

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class Reading(ModalScreen[None]):
    """Shows a text that scrolls."""

    BINDINGS: ClassVar[List[BindingType]] = [Binding("escape,q,enter", "close", "back")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """The title and the text."""
        with Vertical(classes="reading"):
            yield Static(self._title, classes="title", markup=False)
            with VerticalScroll(can_focus=True):
                yield Static(self._text, markup=False)
            yield Footer()

    def on_mount(self) -> None:
        """Let the arrow keys scroll the text."""
        self.query_one(VerticalScroll).focus()

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
