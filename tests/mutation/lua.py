"""Just enough of Lua's syntax to cut a script into tokens, statements, conditions and operands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, List, Tuple

_TOKEN = re.compile(
    r"(?P<space>\s+|--[^\n]*)"
    r"|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<number>\d+)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator>\.\.|[=~<>]=|.)"
)
_OPENING, _CLOSING = "([{", ")]}"
_BEFORE_STATEMENT = {"then", "do", "else", "end", ";", "repeat"}
# What ends the operand of `and` and `or` on its left and on its right; `or` binds less than `and`.
_LEFT_OF_OPERAND = {"=", ",", "return", "if", "elseif", "while", "until", "or", "then", "do", "else", "in"}
_RIGHT_OF_OPERAND = {",", "then", "do", "or", "and", "end", "else", "return", "local", "for", "if"}

Span = Tuple[int, int]


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def tokens_of(source: str) -> List[Token]:
    """All but white space and comments."""
    matches = [match for match in _TOKEN.finditer(source) if match.lastgroup != "space"]
    return [Token(str(match.lastgroup), match[0], match.start()) for match in matches]


class Code:
    """The tokens of a script with the bounds of calls, assignments, conditions and operands."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = tokens_of(source)

    def starts_line(self, index: int) -> bool:
        """Whether the token is the first on its line."""
        start = self.tokens[index].start
        return not self.source[self.source.rfind("\n", 0, start) + 1 : start].strip()

    def closing(self, index: int) -> int:
        """The index of the bracket that closes the one at `index`."""
        depth = 0
        for at in range(index, len(self.tokens)):
            depth += (self.tokens[at].text in _OPENING) - (self.tokens[at].text in _CLOSING)
            if depth == 0:
                return at
        raise ValueError(f"unbalanced brackets in {self.source!r}")

    def is_statement(self, index: int) -> bool:
        """Whether a statement that begins with a name starts here."""
        if self.tokens[index].kind != "name":
            return False
        before = self.tokens[index - 1] if index else None
        if before is not None and before.text in _BEFORE_STATEMENT:
            return True
        return self.starts_line(index) and (before is None or before.text in _CLOSING or before.kind != "operator")

    def calls(self) -> Iterator[Span]:
        """Each call that is a whole statement: first and last token."""
        for index in range(len(self.tokens)):
            if not self.is_statement(index):
                continue
            at = index + 1
            while at + 1 < len(self.tokens) and self.tokens[at].text == ".":
                at += 2
            if (
                at < len(self.tokens)
                and self.tokens[at].text == "("
                and self.tokens[index].text not in _RIGHT_OF_OPERAND
            ):
                yield index, self.closing(at)

    def assignments(self) -> Iterator[Span]:
        """Each assignment to an existing variable on one line: first and last token."""
        for index, first in enumerate(self.tokens):
            if not self.is_statement(index) or first.text in ("local", "for", "function"):
                continue
            line_end = self.source.find("\n", first.start)
            last = index
            while last + 1 < len(self.tokens) and self.tokens[last + 1].start < line_end:
                if self.tokens[last + 1].text == "end":
                    break
                last += 1
            texts = [token.text for token in self.tokens[index : last + 1]]
            is_assignment = "=" in texts and not {"if", "then", "return", "local", "for"} & set(texts)
            if is_assignment and texts.index("=") > 0 and "(" not in texts[: texts.index("=")]:
                yield index, last

    def conditions(self) -> Iterator[Span]:
        """Each condition of `if` or `elseif`: first and last token."""
        for index, token in enumerate(self.tokens):
            if token.text in ("if", "elseif"):
                then = next(at for at in range(index, len(self.tokens)) if self.tokens[at].text == "then")
                yield index + 1, then - 1

    def operands(self, index: int) -> Tuple[Span, Span]:
        """The two sides of the `and` or `or` at `index`, as characters."""
        first = index - 1
        while first >= 0 and not self._ends_left(first):
            first -= self._width_back(first)
        last = index + 1
        while last < len(self.tokens) and not self._ends_right(index, last):
            last = (self.closing(last) if self.tokens[last].text in _OPENING else last) + 1
        left = (self.tokens[first + 1].start, self.tokens[index - 1].end)
        return left, (self.tokens[index + 1].start, self.tokens[last - 1].end)

    def _ends_left(self, at: int) -> bool:
        return self.tokens[at].text in _LEFT_OF_OPERAND or self.tokens[at].text in _OPENING

    def _width_back(self, at: int) -> int:
        """One token, or a whole pair of brackets."""
        if self.tokens[at].text not in _CLOSING:
            return 1
        depth, start = 0, at
        while True:
            depth += (self.tokens[start].text in _CLOSING) - (self.tokens[start].text in _OPENING)
            if depth == 0:
                return at - start + 1
            start -= 1

    def _ends_right(self, index: int, at: int) -> bool:
        text = self.tokens[at].text
        if text in _CLOSING or text in _RIGHT_OF_OPERAND:
            return True
        # A name or a bracket at the start of a line begins the next statement, unless an operator precedes it.
        return at > index + 1 and self.is_statement(at)
