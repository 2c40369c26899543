"""The executor's file as agents fetch it."""

from __future__ import annotations

from werkzeug.test import Client
from werkzeug.wrappers import Response

from chronos_py.api.auth import with_credentials
from chronos_py.api.executor import PREFIX, with_executor
from chronos_py.executor.archive import build


def test_the_file_is_everybodys_and_nothing_else_is():
    archive = build()
    guarded = with_credentials(Response("inside"), "user", "password", "realm")
    client = Client(with_executor(guarded, archive))
    answer = client.get(PREFIX + archive.name)
    assert answer.status_code == 200 and answer.get_data() == archive.content
    assert answer.headers["Content-Length"] == str(len(archive.content))
    assert "immutable" in answer.headers["Cache-Control"]
    answer = client.head(PREFIX + archive.name)
    assert answer.status_code == 200 and answer.get_data() == b""
    for path in ("/", PREFIX, PREFIX + "other.pyz", PREFIX + archive.name + "/"):
        assert client.get(path).status_code == 401
    assert client.post(PREFIX + archive.name).status_code == 401
