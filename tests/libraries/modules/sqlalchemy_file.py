import os

import sqlalchemy

engine = sqlalchemy.create_engine(f"sqlite:///{os.environ['SURROUNDINGS_OUT']}.db")
with engine.begin() as first:
    first.execute(sqlalchemy.text("create table if not exists t (i integer)"))


def handler(body):
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select 1 + 1")).scalar() == 2
