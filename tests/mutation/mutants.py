"""Makes mutants of a script: each is its text with one small mistake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

from bizzmq.broker import scripts
from tests.mutation.lua import Code

LUA = Path(scripts.__file__).parents[1] / "lua"
_SWAPS = {
    "==": "~=", "~=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "and": "or", "or": "and", "+": "-", "-": "+",
    "*": "/", "/": "*", "true": "false", "false": "true", "min": "max", "max": "min", "ceil": "floor", "floor": "ceil",
    "'LPUSH'": "'RPUSH'", "'RPUSH'": "'LPUSH'", "'HSETNX'": "'HSET'", "'HSET'": "'HSETNX'", "'(0'": "'0'",
    "'-inf'": "'+inf'", "'+inf'": "'-inf'", "not": "",
}  # fmt: skip
Edit = Tuple[str, int, int, str]  # what is done, and which characters are replaced by what


@dataclass(frozen=True)
class Mutant:
    """One mistake. `before` and `after` are its lines, which identify it when other lines move."""

    script: str
    what: str
    line: int
    before: str
    after: str
    source: str

    @property
    def key(self) -> Tuple[str, str, str]:
        """Identifies the mutant independent of its line number."""
        return self.script, self.before, self.after

    def __str__(self) -> str:
        return f"{self.script}.lua:{self.line} {self.what}\n  - {self.before}\n  + {self.after}"


def all_mutants() -> List[Mutant]:
    """The mutants of all scripts."""
    paths = sorted(LUA.glob("*/*.lua"), key=lambda path: path.stem)
    return [mutant for path in paths for mutant in mutants_of(path.stem, path.read_text(encoding="utf-8"))]


def mutants_of(script: str, source: str) -> List[Mutant]:
    """All mutants of a script in the order of its lines, without duplicates."""
    code = Code(source)
    edits = sorted(
        {edit for make in MAKERS for edit in make(code)}, key=lambda edit: (edit[1], edit[2], edit[0], edit[3])
    )
    found: dict[str, Mutant] = {}
    for edit in edits:
        mutant = _mutant(script, source, edit)
        if mutant.source.split() != source.split():
            found.setdefault(mutant.source, mutant)
    return list(found.values())


def _mutant(script: str, source: str, edit: Edit) -> Mutant:
    what, start, end, text = edit
    mutated = source[:start] + text + source[end:]
    first = source.rfind("\n", 0, start) + 1
    before = source[first : _line_end(source, end)]
    after = mutated[first : _line_end(mutated, start + len(text))]
    line = source.count("\n", 0, start) + 1
    return Mutant(script, what, line, " ".join(before.split()), " ".join(after.split()), mutated)


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _removed_calls(code: Code) -> Iterator[Edit]:
    for first, last in code.calls():
        yield "removes a call", code.tokens[first].start, code.tokens[last].end, ""


def _removed_assignments(code: Code) -> Iterator[Edit]:
    for first, last in code.assignments():
        yield "removes an assignment", code.tokens[first].start, code.tokens[last].end, ""


def _conditions(code: Code) -> Iterator[Edit]:
    for first, last in code.conditions():
        start, end = code.tokens[first].start, code.tokens[last].end
        words = {token.text for token in code.tokens[first : last + 1]}
        if words & {"and", "or"} or not words & {"==", "~=", "not"}:  # otherwise a swap does the same
            yield "negates a condition", start, end, f"not ({code.source[start:end]})"
        yield "is always so", start, end, "true"
        yield "is never so", start, end, "false"


def _operands(code: Code) -> Iterator[Edit]:
    for index, token in enumerate(code.tokens):
        if token.text in ("and", "or"):
            (left, left_end), (right, right_end) = code.operands(index)
            yield "removes an operand", left, right, ""
            yield "removes an operand", left_end, right_end, ""


def _swaps(code: Code) -> Iterator[Edit]:
    for token in code.tokens:
        other = _SWAPS.get(token.text)
        if other is not None:
            yield f"{token.text} becomes {other or 'nothing'}", token.start, token.end, other


def _numbers(code: Code) -> Iterator[Edit]:
    for index, token in enumerate(code.tokens):
        is_argument = (
            index >= 2 and code.tokens[index - 2].text in ("KEYS", "ARGV") and code.tokens[index - 1].text == "["
        )
        if token.kind == "number" and not is_argument:
            other = str(int(token.text) + 1)
            yield f"{token.text} becomes {other}", token.start, token.end, other


def _unchecked_types(code: Code) -> Iterator[Edit]:
    """Each argument of check_types is a guard."""
    for first, last in code.calls():
        if code.tokens[first].text != "check_types":
            continue
        for at in range(first, last):
            if code.tokens[at].kind == "name" and at > first:
                end = code.tokens[at + 1].end if code.tokens[at + 1].text == "," else code.tokens[at].end
                yield "does not check a type", code.tokens[at].start, end, ""


MAKERS: List[Callable[[Code], Iterator[Edit]]] = [
    _removed_calls, _removed_assignments, _conditions, _operands, _swaps, _numbers, _unchecked_types,
]  # fmt: skip
