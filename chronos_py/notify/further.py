"""Any further channel by its URL, through apprise, which knows more than a hundred services."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from chronos_py.model.notice import Notice
from chronos_py.notify.base import Failed


class FurtherChannel:
    """A channel of apprise. `name` has the URL's scheme only, for the rest may be secret."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url
        self._service: Any = None

    @staticmethod
    def check(url: str) -> str:
        """Return the scheme of a URL that apprise can use. Raises ImportError without apprise, ValueError."""
        if not _apprise().add(url):
            raise ValueError("no service is known by one of these URLs")
        return url.partition("://")[0].lower()

    def send(self, notice: Notice, owner: str) -> bool:
        """See Channel."""
        if self._service is None:
            self._service = _apprise()
            self._service.add(self._url)
        text = notice.body.strip() if notice.body else notice.subject
        try:
            done = self._service.notify(title=notice.subject.strip(), body=text)
        except Exception as error:  # of any of its plug-ins
            raise Failed(f"{type(error).__name__} in apprise") from None
        if not done:
            raise Failed("apprise could not deliver; its own log lines say why")
        return True


def _apprise() -> Any:
    return import_module("apprise").Apprise()
