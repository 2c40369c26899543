"""The HTML error page that the original's web server made when nobody else answered."""

from __future__ import annotations

import html

from flask import Response

PAGE = "text/html;charset=ISO-8859-1"
REASONS = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests",
    500: "Server Error", 503: "Service Unavailable",
}  # fmt: skip


def error_page(status: int, path: str, reason: str) -> Response:
    """Return the page. `reason` is a sentence for people; a word that makes one client stumble is kept out of it."""
    title = f"Error {status} {REASONS.get(status, '')}".strip()
    reason = html.escape(reason.replace("message", "text"))
    body = (
        '<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1"/>\n'
        f"<title>{title}</title>\n</head>\n<body><h2>HTTP ERROR: {status}</h2>\n"
        f"<p>Problem accessing {html.escape(path)}. Reason:\n<pre>    {reason}</pre></p>\n</body>\n</html>\n"
    )
    response = Response(body.encode("latin-1", "xmlcharrefreplace"), status, content_type=PAGE)
    response.headers["Cache-Control"] = "must-revalidate,no-cache,no-store"
    return response
