"""Write docs/configuration.md from the table of flags: `python -m scripts.configuration_doc`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from chronos_py.config import FLAGS, Flag

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"

INTRODUCTION = """\
# Configuration
This page is made from the table in `chronos_py/config.py`: change that, then run `python -m scripts.configuration_doc`.

`chronos-py serve` takes every flag of Chronos 2.x and 3.x by its long name, and some of its own. A value comes from, in
this order:
1. the command line: `--http_port 4400`. Flags that are on or off take no value: `--examples`;
2. the environment: `CHRONOS_` and the flag's name in capitals, `CHRONOS_HTTP_PORT=4400`, `CHRONOS_EXAMPLES=true`. The
   three older names in the tables below work as well;
3. a folder with one file for each flag, named like it, `--config_dir /etc/chronos/conf`: the file `http_port` holds
   `4400`. An empty file turns a flag on, also with a `?` before its name;
4. the default.

Settings are read once, at the start. A value that cannot be used stops the start with exit code 2 and a sentence that
names flag, value and where it came from; so does an unknown flag. Chronos's short letters changed between its versions;
those that never did are accepted.
"""

USED, OURS, REFUSED, IDLE = (
    """\
## Flags of Chronos
""",
    """\
## Our own flags
""",
    """\
## Refused in this version
To serve as if they had not been given would be unsafe, so the server does not start.
""",
    """\
## Accepted without effect
So that existing command lines go on working. Each one that is given is named in a line of the log at the start.
""",
)
COLUMNS = "| flag | default | meaning | older variable |\n|---|---|---|---|\n"


def _row(flag: Flag) -> str:
    name = f"`--{flag.name}`" + (f", `-{flag.letter}`" if flag.letter else "")
    text = flag.text.replace("|", "\\|").replace("<", "&lt;")
    if flag.choices:
        text += f": {', '.join(f'`{choice}`' for choice in flag.choices)}"
    variable = f"`{flag.variable}`" if flag.variable else ""
    return f"| {name} | {flag.default_shown or '-'} | {text} | {variable} |\n"


def _table(flags: Iterable[Flag]) -> str:
    return COLUMNS + "".join(map(_row, flags))


def document() -> str:
    """Return the page."""
    used = [flag for flag in FLAGS if flag.use == "used"]
    parts = [
        INTRODUCTION,
        USED + _table(flag for flag in used if not flag.ours),
        OURS + _table(flag for flag in used if flag.ours),
        REFUSED + _table(flag for flag in FLAGS if flag.use == "refused"),
        IDLE + _table(flag for flag in FLAGS if flag.use == "idle"),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(document(), "utf-8")
