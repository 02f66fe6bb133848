"""`bizzmq audit` as an operator runs it."""

from __future__ import annotations

import json

import pytest

from tests.audit.damage import DEAD, K, orphan, publish_ten
from tests.faults.scene import QUEUE, Scene
from tests.pool.command import OPERATOR, Finished, refused, run


def audit(scene: Scene, *arguments: str) -> Finished:
    return run(OPERATOR, "audit", *arguments, "--lease", "0.05", REDIS_URL=scene.url)


def test_a_balanced_queue_is_a_table_and_exit_code_0(scene: Scene) -> None:
    publish_ten(scene)

    lines = audit(scene, QUEUE).lines()

    assert lines[0].split() == [QUEUE, DEAD]
    assert ["+", "published", "10", "0"] in [line.split() for line in lines]
    assert ["stored", "10", "0"] in [line.split() for line in lines]
    assert ["unaccounted", "for", "0", "0"] in [line.split() for line in lines]
    assert lines[-1] == "Balanced: every message is accounted for and in the right place."


def test_a_finding_has_a_description_and_advice(scene: Scene) -> None:
    ids = publish_ten(scene)
    scene.redis.lrem(K.waiting, 1, ids[3])

    ended = audit(scene, QUEUE)

    assert ended.code == 1
    assert f"FINDING  stray, {QUEUE}: 1 id stored, but in no place" in ended.out
    assert f"    {ids[3]}\n" in ended.out
    assert "-> run it again with --repair: put back to the head of the queue" in ended.out
    assert ended.out.endswith("Findings: 1, of which --repair can repair 1.\n")


def test_a_repair_prints_its_results_and_exits_with_0(scene: Scene) -> None:
    ids = publish_ten(scene)
    scene.redis.hdel(K.messages, ids[2])
    orphan(scene.redis, ids)

    lines = audit(scene, QUEUE, "--repair").lines()

    assert any(line.startswith(f"repaired  hollow, {QUEUE}: 1 id in a place") for line in lines)
    assert f"    {ids[2]}" in lines, "the id of what is lost is told"
    assert any(line.startswith(f"repaired  orphaned, {QUEUE}: 2 messages held by 1 worker") for line in lines)
    assert any(line.startswith(f"repaired  books, {QUEUE}: 1 message vanished") for line in lines)
    assert ["-", "written", "off", "1", "0"] in [line.split() for line in lines]
    assert lines[-1].startswith("Balanced")


def test_json_has_everything(scene: Scene) -> None:
    ids = publish_ten(scene)
    assert audit(scene, DEAD, "--json").json()["balanced"] is True
    for message_id in ids[:3]:
        scene.redis.lrem(K.waiting, 1, message_id)

    found = json.loads(audit(scene, QUEUE, "--json").out)
    assert found["balanced"] is False
    assert (found["queue"], found["mended"]) == (QUEUE, [])
    assert [(f["kind"], f["queue"], f["count"], f["subjects"]) for f in found["findings"]] == [
        ("stray", QUEUE, 3, ids[:3])
    ]
    assert found["books"][QUEUE]["stored"] == 10
    assert set(found["books"]) == {QUEUE, DEAD}

    mended = audit(scene, QUEUE, "--repair", "--json").json()
    assert [(f["kind"], f["count"]) for f in mended["mended"]] == [("stray", 3)]
    assert (mended["balanced"], mended["findings"]) == (True, [])


def test_many_ids_are_cut_short_in_the_table_only(scene: Scene) -> None:
    scene.publish(*[{}] * 25)
    scene.redis.delete(K.waiting)

    assert "    ... and 15 more (--json shows all)" in audit(scene, QUEUE).out


def test_an_unexplained_difference_remains_until_it_is_written_off(scene: Scene) -> None:
    ids = publish_ten(scene)
    scene.redis.hdel(K.messages, ids[0])
    scene.redis.lrem(K.waiting, 1, ids[0])

    ended = audit(scene, QUEUE, "--repair")
    assert ended.code == 1
    assert "1 message vanished without being handled" in ended.out
    assert "accept it with --write-off" in ended.out

    assert audit(scene, QUEUE, "--repair", "--write-off").lines()[-1].startswith("Balanced")
    assert audit(scene, QUEUE).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 1, "'nowhere' does not exist"),
        (["bad name"], 2, "bad queue name"),
        ([QUEUE, "--write-off"], 2, "--write-off needs --repair"),
        ([], 2, "QUEUE"),
    ],
)
def test_wrong_input_is_one_line(scene: Scene, arguments: list[str], code: int, said: str) -> None:
    assert said in refused(OPERATOR, "audit", *arguments, code=code, REDIS_URL=scene.url)


def test_names_from_outside_cannot_forge_lines(scene: Scene) -> None:
    publish_ten(scene)
    scene.redis.lpush(K.waiting, "x\x1b[2J\nBalanced")

    out = audit(scene, QUEUE).out

    assert "\x1b" not in out
    assert "\nBalanced" not in out
