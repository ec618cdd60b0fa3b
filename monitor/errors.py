"""The errors an operator can meet; each message says what is wrong, where, and what to do."""


class MonitorError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(MonitorError):
    """A configuration that cannot be used; `problems` lists every mistake as (file, key, remedy)."""

    def __init__(self, problems: "list[Problem]") -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems


class Problem:
    """One mistake: where (`file`, `key`), what (`message`) and what to do (`remedy`)."""

    __slots__ = ("file", "key", "message", "remedy")

    def __init__(self, file: str, key: str, message: str, remedy: str) -> None:
        self.file, self.key, self.message, self.remedy = file, key, message, remedy

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message} Remedy: {self.remedy}"


class ArtifactError(MonitorError):
    """A model artifact, reference or feature schema that is refused."""


class StateError(MonitorError):
    """State or journal records that cannot be read back."""


class TransportError(MonitorError):
    """The broker, a file or the memory log failed; the task drops its memory and lets the log decide."""


class Fenced(TransportError):
    """A newer owner of this partition task exists."""


class Poisoned(MonitorError):
    """A record on which the core raised three times at the same offset, or nearly all records bad."""
