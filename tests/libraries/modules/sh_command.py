"""Programs that the library forks itself, in pseudo terminals and with threads."""

import sh


def handler(body):
    assert sh.tr("0-9", "a-j", _in=sh.echo(body)).strip() == str(body).translate({48 + n: 97 + n for n in range(10)})
    assert [line.strip() for line in sh.seq(body, body + 2, _iter=True)] == [str(body + n) for n in range(3)]
