"""Commands from people. Few, so each stands for itself; whether one is trusted is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.transport.contract import COMMANDS, Record
from monitor.wire.dead_letters import Rejected, Rejection
from monitor.wire.gate import Gate, Plugin, typed
from monitor.wire.messages import Command
from monitor.wire.symbols import SymbolTable


class CommandDecoder:
    """Records of the command stream; they are keyed by deployment and belong to no symbol."""

    def __init__(self, decoder: Plugin | None = None) -> None:
        self._gate = Gate(COMMANDS, SymbolTable({}), plugin=decoder)
        self._typed = msgspec.json.Decoder(Command)

    def decode(self, records: Sequence[Record]) -> list[tuple[int, Command | Rejection]]:
        """Each record's offset with its command, or with why there is none, in the order given."""
        return [(record.offset, self._one(record)) for record in records]

    def _one(self, record: Record) -> Command | Rejection:
        try:
            command = typed(self._typed, self._gate.open(record))
            self._gate.time(command.ts_ns, record.timestamp_ns)
        except Rejected as why:
            return why.rejection
        return command
