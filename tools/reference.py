"""python -m tools.reference [--check]: write the parts of docs/ that come from the code.

These are docs/reference/commands.md and python-api.md, the index of docs/internals/decisions, and the packages and
layers in docs/internals/architecture.md. With --check nothing is written; exit status 1 if a page is out of date.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import click

import bizzmq
import bizzmq.app.published
import bizzmq.preload
import bizzmq.testing.faults
import bizzmq.workers
from bizzmq.cli.main import command as bizzmq_command
from bizzmq.middleware import logging_context, opentelemetry, opentelemetry_metrics, sentry, timing
from bizzmq.testkit.pool import AppPools
from bizzmq.testkit.worker import InProcessWorker
from bizzmq.workers.cli import command as worker_command
from bizzmq.workers.click_options import sections

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
ARCHITECTURE = ROOT / "docs" / "internals" / "architecture.md"
DECISIONS = ROOT / "docs" / "internals" / "decisions"
_WRITTEN = "<!-- Written by `python -m tools.reference`. Change the code instead. -->"
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):$")
_ENTRY = re.compile(r"^    (\S[^:]*): (.*)$")
_MADE_BY_USERS = ("Reject", "RetryLater")
"""Exceptions whose parameters are of interest; the others are only caught."""
_SUPPLIED: Mapping[Any, list[str]] = {
    logging_context: ["LoggingContext", "JsonFormatter", "current_message"],
    timing: ["Timing", "Measurement"],
    opentelemetry: ["OpenTelemetry"],
    opentelemetry_metrics: ["OpenTelemetryMetrics"],
    sentry: ["Sentry"],
}
"""The middlewares that come with BizzMQ."""
_INTERNAL = ("difference", "as_stored", "to_meta", "from_meta", "delay_ms", "as_dict")
"""Methods of published classes that are not published."""
_KIT = (InProcessWorker, AppPools)
"""What the fixtures bizzmq_worker and bizzmq_pool are."""
_PAGE = re.compile(r"(?:see )?\bdocs/([\w/-]+\.md)")
_DEFAULT = re.compile(r"\s*\[default: (.*?)(?:, here \d+)?\]$", re.DOTALL)


def pages() -> Mapping[Path, str]:
    """The text of each page."""
    architecture = ARCHITECTURE.read_text(encoding="utf-8")
    architecture = _filled(architecture, "packages", "\n".join(_packages()))
    return {
        REFERENCE / "commands.md": "\n".join(_commands()).rstrip("\n") + "\n",
        REFERENCE / "python-api.md": "\n".join(_api()).rstrip("\n") + "\n",
        ARCHITECTURE: _filled(architecture, "layers", "\n".join(_layers())),
        DECISIONS / "README.md": "\n".join(_decisions()) + "\n",
    }


def _filled(page: str, name: str, text: str) -> str:
    """The page with this text between its two markers."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


# --- architecture --------------------------------------------------------------------------------------------------


def _packages() -> Iterator[str]:
    """A row for each package: the first line of its docstring."""
    yield from ("| package | what is in it |", "| --- | --- |")
    files = (file for folder in ("bizzmq", "workers") for file in (ROOT / folder).rglob("__init__.py"))
    for file in sorted(file for file in files if "bizzmq/workers" not in file.as_posix()):
        sentence = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        yield f"| `{file.parent.relative_to(ROOT).as_posix()}` | {sentence} |"


def _layers() -> Iterator[str]:
    """The layers of the import contracts, the highest first."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    yield "```text"
    for package in ("bizzmq", "bizzmq.workers"):
        found = re.search(rf'containers = \["{package}"\][^[]*\nlayers = \[\n(.*?)\]', settings, re.DOTALL)
        layers = re.findall('"(.*?)"', found[1]) if found else []
        yield from (f"{package if number == 0 else '':16}{layer}" for number, layer in enumerate(layers))
        if package == "bizzmq":
            yield ""
    yield "```"


def _decisions() -> Iterator[str]:
    """The index of the decisions: their titles."""
    yield from ("# Decisions", "", _WRITTEN.replace("the code", "the decisions"), "")
    yield "Each page has the context of a decision, what was decided, the consequences, and what was given up."
    yield from ("", "| | decision |", "| ---: | --- |")
    for path in sorted(DECISIONS.glob("[0-9]*.md")):
        number, _, title = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").partition(". ")
        yield f"| {number} | [{title}]({path.name}) |"


# --- commands ------------------------------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", _WRITTEN, "")
    yield "The value in the column *default* applies if neither the option nor its variable is set."
    yield from ("", *_command(worker_command, "bizzmq-worker", "BIZZMQ_WORKER", "##"))
    yield from _command(bizzmq_command, "bizzmq", "BIZZMQ", "##")


def _command(command: click.Command, name: str, prefix: str, level: str) -> Iterator[str]:
    yield from (f"{level} `{name}`", "", "```text", " ".join([name, *_usage(command)]), "```", "")
    yield from (*_paragraphs(inspect.cleandoc(command.help or "")), "")
    options = [one for one in command.params if isinstance(one, click.Option)]
    if options:
        yield from ("| option | meaning | default | variable |", "| --- | --- | --- | --- |")
        yield from (*_rows(options, prefix), "")
    if isinstance(command, click.Group):
        for inner in sorted(name for name, one in command.commands.items() if not one.hidden):
            own = f"{prefix}_{inner}".upper().replace("-", "_")
            yield from _command(command.commands[inner], f"{name} {inner}", own, "###")


def _rows(options: list[click.Option], prefix: str) -> Iterator[str]:
    found = list(sections(options))
    for title, members in found:
        if len(found) > 1:
            yield f"| **{title}** | | | |"
        yield from (_option(one, prefix) for one in members)


def _usage(command: click.Command) -> Iterator[str]:
    yield "[OPTIONS]"
    if isinstance(command, click.Group):
        yield from ("COMMAND", "[ARGS]...")
    for argument in command.params:
        if isinstance(argument, click.Argument):
            word = argument.metavar or (argument.name or "").upper()
            word = word if argument.required or word.startswith("[") or argument.metavar else f"[{word}]"
            yield f"{word}..." if argument.nargs != 1 and not word.endswith("...") else word


def _paragraphs(text: str) -> Iterator[str]:
    """Click's help as Markdown. A paragraph that click does not wrap stays as it is written."""
    for number, part in enumerate(text.replace("\f", "").split("\n\n")):
        if number:
            yield ""
        if part.startswith("\b\n"):
            yield from ("```text", part[2:], "```")
        else:
            yield part


def _option(option: click.Option, prefix: str) -> str:
    names = [*option.opts, *option.secondary_opts]
    if any(name.startswith("--") for name in option.secondary_opts):
        shown = " / ".join(f"`{name}`" for name in names)
    else:
        shown = ", ".join(f"`{name}{_value(option)}`" if name == names[-1] else f"`{name}`" for name in names)
    text = " ".join((option.help or "").split())
    found = _DEFAULT.search(text)
    default = found[1] if found else _default(option)
    details = getattr(option, "details", "")
    meaning = f"{_DEFAULT.sub('', text)} {details}".strip() + _range(option)
    cells = (shown, meaning, default, _variable(option, prefix))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice) and not option.metavar:
        return f" {'|'.join(option.type.choices)}"
    words = {"integer": "N", "integer range": "N", "float range": "X", "float": "X"}
    return f" {option.metavar or words.get(option.type.name, option.type.name.upper())}"


def _range(option: click.Option) -> str:
    low, high = getattr(option.type, "min", None), getattr(option.type, "max", None)
    is_open = getattr(option.type, "min_open", False)
    if low is not None and high is not None:
        return f" From {low:g} to {high:g}."
    if low is not None:
        return f" {'More than' if is_open else 'At least'} {low:g}."
    return ""


def _default(option: click.Option) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    if option.name == "redis_url":
        return "`redis://localhost:6379/0`" if option.default is not None else ""
    if not option.show_default:
        return ""
    value = option.default
    if option.secondary_opts:
        return f"`{(option.opts if value else option.secondary_opts)[0]}`"
    if isinstance(value, (tuple, list)):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _variable(option: click.Option, prefix: str) -> str:
    given = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    if not option.allow_from_autoenv or option.is_eager:
        return ""
    return ", ".join(f"`{name}`" for name in (given or [f"{prefix}_{option.name}".upper()]))


# --- the API -------------------------------------------------------------------------------------------------------


def _api() -> Iterator[str]:
    public = {name: getattr(bizzmq, name) for name in bizzmq.__all__}
    errors = {name: value for name, value in public.items() if _is_error(value)}
    others = {name: value for name, value in public.items() if name not in errors}
    yield from ("# Python API", "", _WRITTEN, "")
    yield "Everything here can be imported from `bizzmq`, unless the heading of its section names another module."
    yield "Arguments in seconds accept a `timedelta` too, where the type is `Seconds`."
    yield ""
    for title, names in (
        ("Client", ["BizzMQ", "AsyncBizzMQ"]),
        ("Options and values", ["QueueOptions", "MessageOptions", "QueueStats", "Message"]),
        (
            "Queues and messages that are stored",
            ["QueueInfo", "QueueSummary", "QueueUpdate", "StoredMessage", "MessagePage", "DeadLetterGroup"],
        ),
        (
            "In a handler",
            ["Context", "Reject", "RetryLater", "MessageTimeout", "CpuTimeExceeded", "Draining", "detached"],
        ),
        ("Hooks", ["on_worker_boot", "on_worker_shutdown", "before_message", "after_message"]),
        ("Middleware", ["Middleware", "add_middleware", "Publication", "WorkerCrash"]),
    ):
        yield from (f"## {title}", "", *(line for name in names for line in _thing(name, public[name])))
        for name in names:
            others.pop(name, None)
            errors.pop(name, None)
    if others:
        yield from ("## Others", "", *(line for name in sorted(others) for line in _thing(name, others[name])))
    yield from ("## Exceptions", "", "Each is a `BizzMQError`, which `bizzmq` raises and programs may catch.", "")
    yield from (line for name in sorted(errors) for line in _thing(name, errors[name]))
    yield from ("## `bizzmq.workers`", "", *_module(bizzmq.workers, ["WorkerConfig", "Supervisor"]))
    yield from ("## `bizzmq.preload`", "", *_module(bizzmq.preload, ["safe"]))
    for module, names in _SUPPLIED.items():
        yield from (f"## `{module.__name__}`", "", *_module(module, names))
    yield from ("## `bizzmq.app.published`", "", "What the tools for tests show.", "")
    yield from _module(bizzmq.app.published, ["PublishedMessage", "Run"])
    yield from ("## Fixtures of pytest", "", "[Testing](../guide/testing.md) has a table of them.", "")
    yield from (line for kit in _KIT for line in _thing(kit.__name__, kit))
    yield from ("## `bizzmq.testing.faults`", "", *_docstring(bizzmq.testing.faults))
    yield "[Testing](../guide/testing.md) shows them at work."
    yield ""
    kit = sorted(name for name in bizzmq.testing.faults.__all__ if callable(getattr(bizzmq.testing.faults, name)))
    yield from _module(bizzmq.testing.faults, kit)


def _is_public(value: type) -> bool:
    return getattr(bizzmq, value.__name__, None) is value


def _is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def _module(module: Any, names: list[str]) -> Iterator[str]:
    for name in names:
        yield from _thing(name, getattr(module, name))


def _thing(name: str, value: Any) -> Iterator[str]:
    yield from (f"### {name}", "")
    if inspect.isclass(value):
        yield from _class(name, value)
    else:
        yield from (*_signature(name, value), *_docstring(value))


def _class(name: str, value: type) -> Iterator[str]:
    if _is_error(value):
        shown = [base.__name__ for base in value.__bases__ if base.__module__ == "builtins" or _is_public(base)]
        yield from (f"A subclass of {', '.join(f'`{name}`' for name in shown)}.", "")
    if dataclasses.is_dataclass(value) and "__init__" in vars(value) and not _has_own_init(value):
        yield from _fields(name, value)
    elif "__init__" in vars(value) and (name in _MADE_BY_USERS or not _is_error(value)) and name != "Context":
        yield from _signature(name, vars(value)["__init__"], skip=1)
    yield from _docstring(value)
    for member, thing in _members(value).items():
        function = thing.__func__ if isinstance(thing, (classmethod, staticmethod)) else thing
        if member.startswith("_") or member in _INTERNAL or not inspect.isfunction(function):
            continue
        text = function.__doc__
        if text:
            skip = 0 if isinstance(thing, staticmethod) else 1
            yield from (f"#### {name}.{member}", "", *_signature(member, function, skip=skip), *_docstring(function))
    properties = [(key, one) for key, one in vars(value).items() if isinstance(one, property) and key[0] != "_"]
    documented = [(key, inspect.getdoc(one) or "") for key, one in properties if one.fget and one.fget.__doc__]
    if documented:
        yield from ("Properties:", "")
        yield from (f"* **{key}**: {' '.join(_code(text).split())}" for key, text in documented)
        yield ""


def _members(value: type) -> Mapping[str, Any]:
    """The members of a class, and those that it has from classes of BizzMQ that are not published themselves."""
    inner = [base for base in value.__mro__[1:] if base.__module__.startswith("bizzmq.") and not _is_public(base)]
    return {**vars(value), **{name: member for base in inner for name, member in vars(base).items()}}


def _has_own_init(value: Any) -> bool:
    return not getattr(value, "__dataclass_params__").init  # noqa: B009 - not in the type stubs


def _fields(name: str, value: Any) -> Iterator[str]:
    lines = []
    for field in dataclasses.fields(value):
        default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        lines.append(f"    {field.name}: {_type(field.type)}{default},")
    yield from ("```text", f"{name}(", *lines, ")", "```", "")


def _signature(name: str, function: Callable[..., Any], skip: int = 0) -> Iterator[str]:
    signature = inspect.signature(function)
    name = f"async {name}" if inspect.iscoroutinefunction(function) else name
    given = list(signature.parameters.values())[skip:]
    words, was_named = [], False
    for one in given:
        if one.kind is one.KEYWORD_ONLY and not was_named:
            words.append("*")
            was_named = True
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(one.kind.name, "")
        was_named = was_named or bool(stars)
        kind = "" if one.annotation is one.empty else f": {_type(one.annotation)}"
        default = "" if one.default is one.empty else f" = {_shown(one.default)}"
        words.append(f"{stars}{one.name}{kind}{default}")
    back = "" if signature.return_annotation in (signature.empty, "None", None) else signature.return_annotation
    result = f" -> {_type(back)}" if back else ""
    line = f"{name}({', '.join(words)}){result}"
    if len(line) > 100:
        line = "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){result}"])
    yield from ("```text", line, "```", "")


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", repr(annotation))
    return re.sub(r"\b(?:bizzmq|typing)(?:\.[a-z_]+)*\.", "", text).replace("checks.", "").replace("signing.", "")


def _shown(value: Any) -> str:
    text = "sys.executable" if value == sys.executable else repr(value)
    return "..." if " at 0x" in text or text.startswith("'(") else text


def _docstring(thing: Any) -> Iterator[str]:
    """A docstring as Markdown: its sections become lists, what follows `::` or is indented stands as it is written."""
    lines = (inspect.getdoc(thing) or "").splitlines()
    section = ""
    literal: list[str] = []
    for number, line in enumerate([*lines, ""]):
        if literal and line and not line.startswith("    "):
            yield from _literal(literal)
            literal = []
        if _SECTION.match(line):
            section = line[:-1]
            yield from (f"{section}:", "")
        elif section and line.startswith("    "):
            yield from _entry(line, section)
        elif not section and (line.startswith("    ") or (literal and not line)):
            literal.append(line[4:])
        else:
            section = section if line else ""
            yield _code(re.sub(r"::$", ":", line)) if line or number < len(lines) else ""
    if literal:
        yield from _literal(literal)


def _literal(lines: list[str]) -> Iterator[str]:
    yield from ("```text", *"\n".join(lines).strip("\n").splitlines(), "```", "")


def _entry(line: str, section: str) -> Iterator[str]:
    """A line of a section: the begin of an entry, or its continuation."""
    found = _ENTRY.match(line)
    if found:
        yield f"* **{found[1]}**: {_code(found[2])}"
    elif line.startswith("        ") or section == "Returns":
        yield f"  {_code(line.strip())}" if section != "Returns" else _code(line.strip())
    else:
        yield f"* {_code(line.strip())}"


def _code(text: str) -> str:
    """Text for Markdown: no double back quotes, and nothing that looks like a tag."""
    return _PAGE.sub(r"[\1](../\1)", text.replace("``", "`").replace("<", "&lt;"))


def main() -> int:
    outdated = {path: text for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text}
    if "--check" not in sys.argv[1:]:
        for path, text in outdated.items():
            path.write_text(text, encoding="utf-8")
        return 0
    for path in outdated:
        sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: python -m tools.reference\n")
    return int(bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
