"""What is looked for in a page: its texts, its links, and whatever the policy would refuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "img", "br", "hr", "source", "rect"})


def _elsewhere(tag: str, url: str) -> bool:
    """Tell whether something would be fetched from another origin, or run; a link to an agent's files is neither."""
    return ":" in url[:12] and not (tag == "a" and url.startswith(("http://", "https://")))


@dataclass
class Page(HTMLParser):
    """A page that was read: `problems` are tags that do not match and what a strict policy forbids."""

    markup: str
    problems: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.markup)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style" or (name in ("href", "src") and _elsewhere(tag, value or "")):
                self.problems.append(f"<{tag} {name}={value}>")
            if name in ("href", "src", "action", "srcset") and value:
                self.links.append(value)
        if len(given) != len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        if tag == "script" and "src" not in given:
            self.problems.append("a script inside the page")
        if tag == "style":
            self.problems.append("a style sheet inside the page")
        if tag == "img" and "alt" not in given:
            self.problems.append("an image without alt")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.problems.append(f"</{tag}> ends {self._open[-1:]}")
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())
