"""The errors a person sees: one root, one subclass for each thing that person can mend."""

from __future__ import annotations


class JointSocError(Exception):
    """Something a person must mend, told as `where: what is wrong; got X; expected Y. Try: ...`.

    Args:
        where: the place to look: `file:line`, a setting, a topic, a host and port.
        what: what is wrong there.
        got: the offending value, shortened to 200 characters.
        expected: what would have been right.
        hint: the next thing to do, usually a command.
    """

    exit_code = 3

    def __init__(
        self,
        where: str,
        what: str,
        *,
        got: object = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.where, self.what, self.got, self.expected, self.hint = where, what, got, expected, hint
        super().__init__(where, what)

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}"]
        if self.got is not None:
            shown = self.got if isinstance(self.got, str) else repr(self.got)
            parts.append(f"got {printable(shown[:200])}")
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        sentence = "; ".join(parts) + (f". Try: {self.hint}" if self.hint else "")
        return "\n".join(printable(line) for line in sentence.split("\n"))


class RuleError(JointSocError):
    """A rule, filter or correlation that cannot be honoured: mend the rule."""

    exit_code = 2


class ConfigError(JointSocError):
    """A setting, an argument or the machine itself: mend the configuration."""


class EventError(JointSocError):
    """An event or a log line that cannot be read: mend the source or the mapping."""

    exit_code = 1


class ConnectionError_(JointSocError):  # noqa: N801 - the builtin has the plain name
    """A server that cannot be reached or refuses us: mend the address, the credentials or the server."""


def printable(text: str) -> str:
    r"""Foreign text made safe for a terminal: control characters become visible escapes.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isprintable():  # nearly always
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
