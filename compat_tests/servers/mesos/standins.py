"""Stand-ins for the libraries that the binary was linked with and that are not needed here or not to be had any more.

Code for TLS (OpenSSL 1.0), SASL, curl, Subversion and Python 2.7 is never reached in a cluster without TLS and
authentication. So functions that are called at start-up do nothing; any other says its name and aborts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from compat_tests.servers.mesos.compiler import compile_with
from compat_tests.servers.mesos.elf import undefined_symbols

REPLACED = (
    "libssl.so.1.0.0",
    "libcrypto.so.1.0.0",
    "libcurl.so.4",
    "libsasl2.so.2",
    "libsvn_delta-1.so.1",
    "libsvn_subr-1.so.1",
    "libapr-1.so.0",
)
UNVERSIONED = "libmesos-standins.so"  # what the binary wants from no library in particular
PREFIXES = ("svn_", "apr_", "Py", "_Py")
# 0 is success, or "no handle" for curl.
HARMLESS = {"sasl_server_init", "sasl_client_init", "sasl_auxprop_add_plugin", "curl_global_init", "curl_easy_init"}
DATA = re.compile(r"_Py_NoneStruct|PyExc_\w+|Py\w+_Type")
HEAD = r"""#include <stdio.h>
#include <stdlib.h>
#define STOP(f) void f(void) { fprintf(stderr, "mesos: " #f " is a stand-in and was called\n"); abort(); }
"""


def build_standins(library: Path, folder: Path) -> None:
    """Compile into `folder` what `library` wants from REPLACED, and UNVERSIONED."""
    wanted: dict[str, dict[str, list[str]]] = {soname: defaultdict(list) for soname in (*REPLACED, UNVERSIONED)}
    for symbol in undefined_symbols(library):
        if symbol.library in wanted:
            wanted[symbol.library][symbol.version].append(symbol.name)
        elif not symbol.library and not symbol.weak and symbol.name.startswith(PREFIXES):
            wanted[UNVERSIONED][""].append(symbol.name)
    for soname, versions in wanted.items():
        _build(folder / soname, versions)


def _build(target: Path, versions: dict[str, list[str]]) -> None:
    names = sorted(name for group in versions.values() for name in group)
    source = target.with_name(f"{target.name}.c")
    source.write_text(HEAD + "\n".join(_definition(name) for name in names) + "\n")
    command = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", "-o", str(target), f"-Wl,-soname,{target.name}"]
    script = target.with_name(f"{target.name}.map")
    nodes = [_node(version, versions[version]) for version in sorted(versions) if version]
    if nodes:
        script.write_text("\n".join(nodes) + "\n")
        command.append(f"-Wl,--version-script={script}")
    compile_with([*command, str(source)], f"the stand-in for {target.name}")
    source.unlink()
    script.unlink(missing_ok=True)


def _definition(name: str) -> str:
    if DATA.fullmatch(name):
        return f"char {name}[512];"
    return f"long {name}(void) {{ return 0; }}" if name in HARMLESS else f"STOP({name})"


def _node(version: str, names: list[str]) -> str:
    return f"{version} {{ global: {' '.join(f'{name};' for name in names)} }};"
