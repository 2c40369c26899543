"""What LIKE and UNLIKE ask: does a text match a Java pattern as a whole? Bounded in time and memory.

Some patterns take ages on some texts (`(a|aa)+c`). Each pattern has an allowance of processor time, and gets a little
more with each text. Once it is used up, the pattern counts as too slow, for every text, until it has left the cache.
"""

from __future__ import annotations

from functools import lru_cache
from time import thread_time

import regex

from chronos_py.model.java_regex import NotARegex, translated

ALLOWANCE = 0.05  # seconds that a pattern may take beyond its share
LEAST_ALLOWANCE = 0.001  # of patterns that come after many slow ones
SHARE = 20e-6  # seconds a text; common patterns take a tenth of it


class JavaPattern:
    """A compiled pattern and what is left of its allowance. Not for several threads at once: time is counted."""

    slow = 0  # how many patterns were too slow: the more, the less the next ones get

    def __init__(self, text: str) -> None:
        """Raises NotARegex or UnsupportedRegex with a sentence."""
        form = translated(text)
        try:
            self._compiled = regex.compile(form, regex.VERSION1, cache_pattern=False)
        except (regex.error, OverflowError, RecursionError) as error:
            raise NotARegex(f"is no regular expression: {error}") from None
        self.allowance = self._left = max(LEAST_ALLOWANCE, ALLOWANCE / (1 + JavaPattern.slow))

    def matches(self, text: str) -> bool | None:
        """Tell whether the whole text matches; None when the pattern is too slow to say."""
        if self._left <= 0:
            return None
        begin = thread_time()
        try:
            found = self._compiled.fullmatch(text, timeout=self._left)
        except (TimeoutError, MemoryError):
            JavaPattern.slow += 1
            self._left = 0.0
            return None
        self._left = min(self.allowance, self._left + SHARE - (thread_time() - begin))
        JavaPattern.slow += self._left <= 0
        return found is not None


@lru_cache(maxsize=2_000)
def java_pattern(text: str) -> JavaPattern:
    """Return a pattern, compiled. Raises NotARegex or UnsupportedRegex, both ValueErrors, with a sentence."""
    return JavaPattern(text)


@lru_cache(maxsize=100_000)
def matches(pattern: str, text: str) -> bool | None:
    """Tell whether a text matches; None when that takes too long. Placement asks the same of every agent every round.

    Raises like `java_pattern`.
    """
    return java_pattern(pattern).matches(text)
