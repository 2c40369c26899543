"""Programs that an agent starts and the library does not contain.

They run in a bare Python, outside the repository (see install.py): standard library only, and imports that are cheap,
because one of them starts for every task. So no typing, no pathlib, no dataclasses at run time.
"""
