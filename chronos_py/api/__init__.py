"""The HTTP faces: Chronos 2.x, Chronos 3.x, and our own. `create_app` puts them together."""

from chronos_py.api.app import create_app

__all__ = ["create_app"]
