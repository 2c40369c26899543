"""Texts of the pages in the languages that we have. English is the key; what a catalogue lacks is shown in English."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from flask import g, has_request_context, request

LANGUAGES = {"en": "English", "zh": "中文"}
COOKIE = "chronos_lang"


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return a language's texts by their English ones. Raises KeyError for a language that we do not have."""
    if LANGUAGES[language] and language == "en":
        return {}
    text = (files("chronos_py.ui") / "translations" / f"{language}.json").read_text("utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def chosen_language() -> str:
    """Return what the request asks for: `lang` in the URL, else the cookie, else what the browser prefers."""
    for asked in (request.args.get("lang"), request.cookies.get(COOKIE)):
        if asked in LANGUAGES:
            return asked
    return request.accept_languages.best_match(list(LANGUAGES), "en") or "en"


def language() -> str:
    """Return the language of the page that is being made."""
    return str(getattr(g, "lang", "en")) if has_request_context() else "en"


def gettext(text: str, **values: Any) -> str:
    """Return `text` in the page's language, with `{name}` replaced by values."""
    found = catalogue(language()).get(text, text)
    return found.format(**values) if values else found
