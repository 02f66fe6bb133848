"""Django's ORM on PostgreSQL with persistent connections, which the server ends between messages."""

import os

import django
from django.conf import settings

FOLDER = os.environ["LIBRARIES_SERVICE"]
settings.configure(
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "HOST": FOLDER, "NAME": "postgres", "USER": "postgres",
        "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True,
    }},
    INSTALLED_APPS=["django.contrib.contenttypes"], DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)  # fmt: skip
django.setup()

from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import close_old_connections, connection

import bizzmq

with connection.cursor() as cursor:
    cursor.execute("select pg_advisory_lock(1)")
    call_command("migrate", verbosity=0)
    cursor.execute("select pg_advisory_unlock(1)")
bizzmq.before_message(close_old_connections)


def handler(body):
    made = ContentType.objects.create(app_label="shop", model=f"{os.environ['SURROUNDINGS_OUT']}-{body}"[-100:])
    assert ContentType.objects.get(pk=made.pk).app_label == "shop"
    with open(os.environ["SURROUNDINGS_OUT"], "a") as out:
        print(made.pk, file=out)


def check(lines, messages):
    assert len(set(lines)) == messages, f"{len(set(lines))} of {messages} rows"
