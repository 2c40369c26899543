"""What all pages share: language, theme, navigation, headers, errors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, current_app, g, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from werkzeug.exceptions import HTTPException

from chronos_py import __version__
from chronos_py.api.backend import ApiSettings, Backend
from chronos_py.clock import Millis
from chronos_py.errors import BadGateway, ChronosError, NotLeader, Unavailable, UnknownJob, UnknownRun, UnknownTask
from chronos_py.model.immediate import PREFIX, shown_name
from chronos_py.ui import text
from chronos_py.ui.i18n import COOKIE, LANGUAGES, chosen_language, gettext, language

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "chronos_theme"
A_YEAR = 365 * 86_400

# Endpoint, text, and the key that leads there after `g`. An entry whose page is not registered is left out.
NAVIGATION = (
    ("ui.overview", "Overview", "o"),
    ("ui.jobs", "Jobs", "j"),
    ("ui.immediate", "Immediate", "i"),
    ("ui.timeline", "Timeline", "t"),
    ("ui.calendar", "Calendar", "c"),
    ("ui.graph", "Graph", "g"),
    ("ui.cluster", "Cluster", "k"),
    ("ui.add", "Add job", "a"),
)

# Nothing inline, nothing from elsewhere, no frames around us.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Ui:
    """What pages are made from."""

    backend: Backend
    settings: ApiSettings


@cache
def asset_version() -> str:
    """Return a name for what lies in `static/`, so that browsers may keep files for long."""
    folder, digest = files("chronos_py.ui") / "static", hashlib.sha256(__version__.encode())
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        digest.update(item.name.encode() + item.read_bytes())
    return digest.hexdigest()[:12]


def asset(name: str) -> str:
    """Return the URL of a file in `static/`."""
    return url_for("ui.static", filename=name, v=asset_version())


def href(endpoint: str, **values: Any) -> str:
    """Return a page's URL; values that are empty are left out."""
    return url_for(endpoint, **{key: value for key, value in values.items() if value not in (None, "", ())})


def here(**changes: Any) -> str:
    """Return this page's URL with some arguments changed, None taking one away. Language and theme are settings of
    their own, and stay out unless they are asked for."""
    arguments = request.args.to_dict(flat=False)
    for key in ("lang", "theme"):
        arguments.pop(key, None)
    for key, value in changes.items():
        arguments.pop(key, None)
        if value not in (None, "", ()):
            arguments[key] = [str(value)]
    return url_for(request.endpoint or "ui.overview", **(arguments | (request.view_args or {})))


def job_url(name: str) -> str:
    """Return the URL of a job's page: the name is an argument, for names may hold what paths do not carry. Immediate
    jobs have no page of their own, but a list of those of one name."""
    if name.startswith(PREFIX):
        return url_for("ui.immediate", name=shown_name(name))
    return url_for("ui.job", name=name) if has_page("ui.job") else f"/api/jobs/{quote(name, safe='')}"


def time_tag(instant: Millis | None, now: Millis | None = None) -> Markup:
    """Return an instant with its date in the machine's form. With `now` it says how long ago, the date on hovering."""
    if instant is None:
        return Markup("–")
    full = f"{text.when(instant)} UTC"
    label = full if now is None else text.ago(instant, now)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text.machine_time(instant), full, label)


def _navigation() -> list[dict[str, Any]]:
    entries = []
    for endpoint, label, key in NAVIGATION:
        if endpoint in current_app.view_functions:
            current = request.endpoint == endpoint
            entries.append({"url": url_for(endpoint), "label": gettext(label), "key": key, "current": current})
    return entries


def _theme() -> str:
    for asked in (request.args.get("theme"), request.cookies.get(THEME_COOKIE)):
        if asked in THEMES:
            return asked
    return "auto"


def has_page(endpoint: str) -> bool:
    """Tell whether a page is there: links to others are left out."""
    return endpoint in current_app.view_functions


def _set_up(state: BlueprintSetupState) -> None:
    env = state.app.jinja_env
    env.trim_blocks = env.lstrip_blocks = True
    env.globals.update(
        _=gettext, href=href, here=here, asset=asset, time_tag=time_tag, job_url=job_url, has_page=has_page,
        language=language, LANGUAGES=LANGUAGES, THEMES=THEMES, VERSION=__version__,
    )  # fmt: skip
    env.filters.update(
        shown=text.shown, duration=text.duration, ago=text.ago, when=text.when, number=text.number,
        mebibytes=text.mebibytes, machine_time=text.machine_time, immediate_name=shown_name,
    )  # fmt: skip


def make_blueprint(ui: Ui) -> Blueprint:
    """Return the blueprint that pages are added to: endpoints `ui.<name>`, templates `ui/<name>.html`."""
    blueprint = Blueprint(
        "ui", "chronos_py.ui", template_folder="templates", static_folder="static", static_url_path="/ui/static"
    )
    blueprint.record_once(_set_up)

    @blueprint.before_request
    def begin() -> None:
        g.lang, g.theme = chosen_language(), _theme()
        if (
            not ui.backend.view.loaded and request.endpoint != "ui.static"
        ):  # which is not the same as that there is none
            raise NotLeader("nothing has been loaded yet")

    @blueprint.context_processor
    def shared() -> dict[str, Any]:
        return {"navigation": _navigation(), "theme": g.theme, "now": ui.backend.now()}

    @blueprint.after_request
    def headers(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        if request.endpoint == "ui.static":
            response.headers["Cache-Control"] = f"public, max-age={A_YEAR}" if "v" in request.args else "no-cache"
            return response
        response.headers.setdefault("Cache-Control", "no-cache, private")
        response.vary.update(("Accept-Language", "Cookie"))
        if request.args.get("lang") in LANGUAGES:
            response.set_cookie(COOKIE, request.args["lang"], max_age=A_YEAR, samesite="Lax", httponly=True)
        if request.args.get("theme") in THEMES:
            response.set_cookie(THEME_COOKIE, request.args["theme"], max_age=A_YEAR, samesite="Lax", httponly=True)
        return response

    @blueprint.get("/ui")
    @blueprint.get("/ui/<path:rest>")
    def nowhere(rest: str = "") -> ResponseReturnValue:
        return error_page(f"/ui/{rest}", 404)

    @blueprint.errorhandler(ChronosError)
    def refused(error: ChronosError) -> ResponseReturnValue:
        return error_page(str(error), _status(error), leader=ui.backend.leader())

    @blueprint.errorhandler(HTTPException)
    def failed(error: HTTPException) -> ResponseReturnValue:
        return error_page(error.description or error.name, error.code or 500)

    return blueprint


def error_page(reason: str, status: int, leader: str = "") -> ResponseReturnValue:
    """Return a page that says what is wrong and what to do."""
    if not hasattr(g, "lang"):  # the application refused the request before the blueprint saw it
        g.lang, g.theme = chosen_language(), _theme()
    return render_template("ui/error.html", reason=reason, status=status, leader=leader), status


def _status(error: ChronosError) -> int:
    match error:
        case UnknownJob() | UnknownRun() | UnknownTask():
            return 404
        case Unavailable():
            return 503
        case BadGateway():
            return 502
    return 400
