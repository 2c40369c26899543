"""The Flask application: blueprints, and what holds for every path."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import structlog
from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import Forbidden, HTTPException, MethodNotAllowed, NotFound

from chronos_py.api.audit import AuditLog
from chronos_py.api.auth import STREAM
from chronos_py.api.backend import ApiSettings, Backend
from chronos_py.api.chronos import chronos_blueprint
from chronos_py.api.editing import editing_blueprint
from chronos_py.api.errors import api_answer
from chronos_py.api.figures import figures_blueprint
from chronos_py.api.guard import Guard, GuardSettings, audit_blueprint
from chronos_py.api.immediate import immediate_blueprint
from chronos_py.api.logging_levels import logging_blueprint
from chronos_py.api.masking import without_url_secrets
from chronos_py.api.pages import error_page
from chronos_py.api.plan import plan_blueprint
from chronos_py.api.planning import planning_blueprint
from chronos_py.api.proxy import client_address
from chronos_py.api.resources import resources_blueprint
from chronos_py.api.runs import runs_blueprint
from chronos_py.api.system import system_blueprint
from chronos_py.api.transport import JSON, REFUSAL, answer, as_routed, compress, take_the_rest
from chronos_py.edits import AUTHOR
from chronos_py.errors import ChronosError, NotLeader
from chronos_py.metrics import Metrics
from chronos_py.model.revision import Author

log = structlog.get_logger(__name__)

PREFIXES = ("/scheduler", "/v1/scheduler")
LEADER_PATHS = frozenset(f"{prefix}/leader" for prefix in PREFIXES)
READING = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITE = frozenset({"same-origin", "none"})  # what browsers say of a request that no other site's page makes
_LOADED = "jobs runs queue quarantine statistics resources validate calendar timeline plan"
LOADED = tuple(f"/api/{name}" for name in _LOADED.split())


def create_app(
    backend: Backend,
    settings: ApiSettings | None = None,
    metrics: Metrics | None = None,
    guard_settings: GuardSettings | None = None,
    audit: AuditLog | None = None,
    pages: Callable[[Backend], Blueprint] | None = None,
) -> Flask:
    """Return the application that answers for a running service. `/metrics` shows what `metrics` has counted, too.

    `pages` makes what people look at: `/` and all below `/ui`.
    """
    settings = settings or ApiSettings()
    guard = Guard(backend, guard_settings or GuardSettings(), audit or AuditLog(None))
    backend = cast(Backend, guard)
    app = Flask("chronos_py", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.largest_body
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.register_blueprint(chronos_blueprint(backend, settings, 2))
    app.register_blueprint(chronos_blueprint(backend, settings, 3))
    app.register_blueprint(runs_blueprint(backend, settings))
    app.register_blueprint(editing_blueprint(backend, settings))
    app.register_blueprint(planning_blueprint(backend))
    app.register_blueprint(immediate_blueprint(backend, settings))
    app.register_blueprint(figures_blueprint(backend))
    app.register_blueprint(resources_blueprint(backend))
    app.register_blueprint(plan_blueprint(backend, settings))
    app.register_blueprint(system_blueprint(backend, metrics))
    app.register_blueprint(logging_blueprint())
    app.register_blueprint(audit_blueprint(guard.audit))
    if pages is not None:
        app.register_blueprint(pages(backend))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ChronosError, api_answer)
    app.register_error_handler(Exception, _bug)

    @app.before_request
    def known() -> None:
        AUTHOR.set(Author(request.environ.get("REMOTE_USER", ""), client_address(request.environ)))
        guard.admit()
        refusal: Exception | None = request.environ.get(REFUSAL)
        if refusal is not None:
            raise refusal
        if request.method not in READING and request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITE:
            raise Forbidden("a page of another site may not change anything here")
        if _from_elsewhere():
            raise Forbidden("a form of another site may not change anything here")
        if request.path.rstrip("/") in LEADER_PATHS:
            return
        if not backend.view.loaded and _on((*PREFIXES, *LOADED)):
            raise NotLeader("nothing has been loaded yet")

    @app.after_request
    def finish(response: Response) -> Response:
        if response.status_code >= 400:
            take_the_rest()
        if request.method == "OPTIONS" and response.allow:
            response.headers["Allow"] = ",".join(sorted(response.allow))
            response.headers.pop("Content-Type", None)
        if request.path not in ("/ping", "/") and not _on(
            ("/ui",)
        ):  # /ping names the asker alone; pages are read here alone
            response.headers.setdefault("Access-Control-Allow-Origin", "*")
        if guard.masks_answers and response.mimetype == STREAM:
            parts = response.iter_encoded()
            response.response = (without_url_secrets(part.decode("latin-1")).encode("latin-1") for part in parts)
        elif guard.masks_answers and not response.is_streamed:
            g.pop("kept_body", None)  # which is as it was
            response.set_data(without_url_secrets(response.get_data().decode("latin-1")).encode("latin-1"))
        if settings.compression and not _on(("/scheduler",)):
            response = compress(response)
        return response

    app.wsgi_app = as_routed(app.wsgi_app)  # type: ignore[assignment,method-assign]
    return app


def _from_elsewhere() -> bool:
    """Tell whether a form on another site's page sends this. Over plain HTTP browsers say so by `Origin` alone.

    Only what a form can send is looked at: anything else a browser asks for leave first, which nobody gets. So what
    stands behind a proxy that changes `Host` goes on working.
    """
    origin = request.headers.get("Origin")
    if request.method != "POST" or origin is None or request.mimetype == JSON or "Sec-Fetch-Site" in request.headers:
        return False
    return origin.partition("://")[2] not in (request.host, request.headers.get("X-Forwarded-Host"))


def _on(prefixes: tuple[str, ...]) -> bool:
    return any(request.path == prefix or request.path.startswith(f"{prefix}/") for prefix in prefixes)


def _http_error(error: HTTPException) -> Response:
    """Answer what no view was asked about: empty below the Chronos prefixes, a page elsewhere."""
    status = error.code or 500
    if _on(("/api",)):
        name = error.name.lower().replace(" ", "_")
        response = answer(f'{{"error":{{"code":"{name}","message":"{error.name}"}}}}', status)
    elif _on(PREFIXES):
        response = Response(b"", status)
        del response.headers["Content-Type"]
    else:
        response = error_page(status, request.path, error.name)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ",".join(sorted(error.valid_methods))
    if isinstance(error, NotFound):
        response.headers.pop("Allow", None)
    return response


def _bug(error: Exception) -> Response:
    """Answer an error that nobody expected: the details are for the log alone."""
    log.error("a request failed", path=request.path, method=request.method, exc_info=error)
    if _on(("/api",)):
        return answer('{"error":{"code":"internal","message":"an error that should not be; see the log"}}', 500)
    return error_page(500, request.path, "Server Error")
