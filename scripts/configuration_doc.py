"""Write docs/configuration.md and packaging/chronos.toml from the table of flags.

Usage: `python -m scripts.configuration_doc`
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

from chronos_py.flags import FLAGS, Flag

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
SAMPLE = ROOT / "packaging" / "chronos.toml"

INTRODUCTION = """\
# Configuration
This page is made from the table in `chronos_py/flags.py`: change that, then run `python -m scripts.configuration_doc`.

`chronos-py serve` takes every flag of Chronos 2.x and 3.x by its long name, and some of its own. A value comes from, in
this order:
1. the command line: `--http_port 4400`. Flags that are on or off take no value: `--examples`;
2. the environment: `CHRONOS_` and the flag's name in capitals, `CHRONOS_HTTP_PORT=4400`, `CHRONOS_EXAMPLES=true`. The
   three older names in the tables below work as well;
3. a file in TOML, `--config /etc/chronos.toml`: `http_port = 4400`, `examples = true`. `packaging/chronos.toml` is a
   sample that has them all;
4. a folder with one file for each flag, named like it, `--config_dir /etc/chronos/conf`: the file `http_port` holds
   `4400`. An empty file turns a flag on, also with a `?` before its name;
5. the default.

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


SAMPLES_HEAD = """\
# Settings of `chronos-py serve --config <this file>`. What is given on the command line, or in the environment, wins.
# Each line that is commented out shows the default, or an empty text where there is none.
"""


def sample() -> str:
    """Return the sample file: every flag that has an effect, commented out, with what it means."""
    parts = [SAMPLES_HEAD]
    for flag in FLAGS:
        if flag.use == "used" and flag.name not in ("config", "config_dir"):
            text = flag.text + (f"; in {flag.unit}" if flag.unit else "")
            text += f" ({', '.join(flag.choices)})" if flag.choices else ""
            default = "" if flag.default is None else flag.default
            parts.append("\n".join(textwrap.wrap(text, 110, initial_indent="# ", subsequent_indent="# ")))
            parts.append(f"#{flag.name} = {json.dumps(default)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(document(), "utf-8")
    SAMPLE.write_text(sample(), "utf-8")
