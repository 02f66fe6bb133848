"""The generator makes the intended mistakes, each once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.mutation import survivors
from tests.mutation.changes import lines_of, lines_since
from tests.mutation.mutants import Mutant, all_mutants, mutants_of

SCRIPT = """-- a comment with if and redis.call('DEL', key)
local key, id = KEYS[1], ARGV[1]
if redis.call('HEXISTS', key, id) == 0 then return -1 end
if not is_held(key, id) or id == '' then return 0 end
check_types({key}, {id, key}, {})
count = count + 1
if count >= 2 and id ~= 'and' then redis.call('LPUSH', key, id) end
local first = found and found[1] or (missing or 0)
return first
"""


def lines_after(what: str, script: str = SCRIPT) -> list[str]:
    return [mutant.after for mutant in mutants_of("s", script) if mutant.what == what]


def test_conditions_are_made_constant() -> None:
    assert "if true then return -1 end" in lines_after("is always so")
    assert "if false then redis.call('LPUSH', key, id) end" in lines_after("is never so")


def test_a_condition_of_several_parts_is_negated_as_a_whole() -> None:
    assert lines_after("negates a condition") == [
        "if not (not is_held(key, id) or id == '') then return 0 end",
        "if not (count >= 2 and id ~= 'and') then redis.call('LPUSH', key, id) end",
    ]


def test_each_operand_is_removed() -> None:
    assert lines_after("removes an operand") == [
        "if id == '' then return 0 end",
        "if not is_held(key, id) then return 0 end",
        "if id ~= 'and' then redis.call('LPUSH', key, id) end",
        "if count >= 2 then redis.call('LPUSH', key, id) end",
        "local first = found[1] or (missing or 0)",
        "local first = (missing or 0)",
        "local first = found or (missing or 0)",
        "local first = found and found[1]",
        "local first = found and found[1] or (0)",
        "local first = found and found[1] or (missing)",
    ]


def test_calls_that_are_statements_are_removed() -> None:
    assert lines_after("removes a call") == ["", "if count >= 2 and id ~= 'and' then end"]


def test_assignments_are_removed_and_declarations_are_not() -> None:
    assert lines_after("removes an assignment") == [""]


def test_each_key_whose_type_is_checked_is_left_out() -> None:
    assert lines_after("does not check a type") == [
        "check_types({}, {id, key}, {})",
        "check_types({key}, { key}, {})",
        "check_types({key}, {id, }, {})",
    ]


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("== becomes ~=", "if redis.call('HEXISTS', key, id) ~= 0 then return -1 end"),
        ("- becomes +", "if redis.call('HEXISTS', key, id) == 0 then return +1 end"),
        (">= becomes >", "if count > 2 and id ~= 'and' then redis.call('LPUSH', key, id) end"),
        ("'LPUSH' becomes 'RPUSH'", "if count >= 2 and id ~= 'and' then redis.call('RPUSH', key, id) end"),
        ("or becomes and", "if not is_held(key, id) and id == '' then return 0 end"),
        ("not becomes nothing", "if is_held(key, id) or id == '' then return 0 end"),
        ("+ becomes -", "count = count - 1"),
        ("1 becomes 2", "count = count + 2"),
    ],
)
def test_words_are_exchanged(what: str, line: str) -> None:
    assert line in lines_after(what)


def test_comments_strings_and_the_numbers_of_arguments_stay() -> None:
    mutants = mutants_of("s", SCRIPT)

    assert all(mutant.source.startswith(SCRIPT.splitlines()[0]) for mutant in mutants)
    assert not [mutant for mutant in mutants if "'or'" in mutant.source]
    assert not [mutant for mutant in mutants if "KEYS[2]" in mutant.source or "ARGV[2]" in mutant.source]


def test_no_mutant_is_made_twice_or_is_the_script_itself() -> None:
    sources = [mutant.source for mutant in mutants_of("s", SCRIPT)]

    assert len(sources) == len(set(sources)) > 30
    assert SCRIPT not in sources


def test_a_mutant_spans_the_lines_of_its_statement() -> None:
    script = "check_types({a},\n  {b})\nreturn 1\n"

    removed = [mutant for mutant in mutants_of("s", script) if mutant.what == "removes a call"]

    assert [(mutant.before, mutant.after, mutant.line) for mutant in removed] == [("check_types({a}, {b})", "", 1)]


@pytest.mark.parametrize("after", ["if x or y then", "", "return 'a|b'"])
def test_a_survivor_is_recognised_by_its_row(after: str) -> None:
    mutant = Mutant("claim", "anything", 7, "if x || y then", after, "...")

    assert survivors.known(survivors.row(mutant, "a reason")) == {mutant.key: "a reason"}


def test_scripts_with_figures_are_tried() -> None:
    text = "| claim | 338 | 323 | 15 |\n| script | mutants | killed | survived |\n| requeue | - | - | - |\n"

    assert survivors.tried(text) == ["claim"]
    known = {mutant.script for mutant in all_mutants()}
    assert set(survivors.tried(survivors.PATH.read_text(encoding="utf-8"))) <= known


def test_each_row_of_the_documentation_is_a_mutant_of_the_scripts_with_a_reason() -> None:
    rows = survivors.known(survivors.PATH.read_text(encoding="utf-8"))

    assert set(rows) <= {mutant.key for mutant in all_mutants()}
    assert all(rows.values())


DIFF = """diff --git a/bizzmq/lua/claim.lua b/bizzmq/lua/claim.lua
--- a/bizzmq/lua/claim.lua
+++ b/bizzmq/lua/claim.lua
@@ -3 +3,2 @@ local a = 1
-local b = 2
+local b = 3
+local c = 4
@@ -9,2 +9,0 @@ return 1
-gone
-gone too
@@ -20,0 +19 @@ end
+return 2
diff --git a/bizzmq/scripts.py b/bizzmq/scripts.py
"""


def test_only_new_lines_are_chosen() -> None:
    assert lines_of(DIFF) == {"claim": {3, 4, 19}}


def test_only_new_lines_of_a_git_diff_are_chosen(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)

    git("init")
    (tmp_path / "one.lua").write_text("a\nb\nc\n")
    git("add", ".")
    git("commit", "-m", "first")
    assert lines_since("HEAD", tmp_path) == {}
    (tmp_path / "one.lua").write_text("a\nB\nc\nd\n")

    assert lines_since("HEAD", tmp_path) == {"one": {2, 4}}
