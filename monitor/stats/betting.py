"""`BettingTest`: evidence, block after block, that a challenger is worse; valid however often one looks.

A sequence: it depends on order and does not merge. Knows no block, no clock and no model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from monitor.errors import StateError
from monitor.stats.block_correlation import BlockCorrelation

LARGEST_LOG = 700.0
"""Values are shown as at most e^700, so that they stay finite; the logarithm is exact."""

_MOST = 0.5
"""The share of the stake that the worst possible block may cost."""

_BETS = tuple(2.0**-k for k in range(8))
"""Bets of the e-detector, as shares of the largest allowed one."""


@dataclass(frozen=True, slots=True)
class Harm:
    """The hypothesis H0: given the past, a block's clipped loss is at most `margin` on average.

    A difference is always challenger minus incumbent, and loss = -difference: positive loss is bad for the
    challenger. Losses are clipped to +-`bound`. All in the unit of the loss.

    Raises:
        ValueError: not 0 < bound < inf, or not -bound < margin < bound.
    """

    bound: float
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.bound < math.inf and -self.bound < self.margin < self.bound):
            raise ValueError(f"a margin of {self.margin:g} does not lie within a bound of +-{self.bound:g}")

    @property
    def null(self) -> float:
        """m = (margin + B) / 2B: the margin on the scale where -B is 0 and B is 1."""
        return (self.margin + self.bound) / (2 * self.bound)

    def clip(self, loss: float) -> float:
        """The loss within +-B."""
        return min(max(loss, -self.bound), self.bound)

    def scaled(self, clipped: float) -> float:
        """x = (clip(loss, -B, B) + B) / 2B, in [0, 1]."""
        return (clipped + self.bound) / (2 * self.bound)


class _State(msgspec.Struct, array_like=True):
    blocks: int = 0
    total: float = 0.0
    squares: float = 0.0
    log_e: float = 0.0
    log_highest: float = 0.0
    logs: list[float] = msgspec.field(default_factory=lambda: [-math.inf] * len(_BETS))
    harmed: bool = True
    clipped: int = 0
    clipped_off: float = 0.0


class BettingTest:
    """E-process and Shiryaev-Roberts e-detector on the same blocks of one loss.

    *E-process* E = prod(1 + l_t (x_t - m)): the fortune of a gambler who bets on harm, x as in `Harm.scaled`.
    The bet l_t = (mu - m) / (s2 + (mu - m)^2), clipped to [0, 0.5 / m], is made from the blocks before alone:
    mu = (1/2 + sum x) / (t + 1), s2 = (1/4 + sum (x_i - mu_i)^2) / (t + 1). Under H0, P(sup E >= 1/a) <= a
    (Ville), whatever the distribution, and however often one looks: a rule says `above: 1/a`. It answers
    "is the challenger worse", counted from the start.

    *E-detector* M, the mean over bets l = 0.5 / m * (1, 1/2 ... 1/128) of M_l = (M_l + b_t)(1 + l (x_t - m)):
    a new gambler begins before every block (b_t = 1, Shiryaev-Roberts), but for those after a block without
    harm, x_{t-1} <= m (b_t = 0); else M would grow by 1 a block on models that answer alike, and reach any
    threshold. Under H0 the mean number of blocks to a value >= A is at least A: a rule says `above: A`. It
    answers "has the challenger become worse", and finds a change late in a long run far sooner than E does.

    H0 bounds the mean *given the past*: blocks that depend on each other break it, so that they must last at
    least ten correlation times; `lag1` says whether they do. The mean is that of clipped losses: rare losses
    beyond the bound do not count, which `clip_share` and `clipped_off` show.

    Sources: Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting (2024), section 4;
    Shin, Ramdas & Rinaldo, E-detectors (2023). State and time of a block are constant.

    >>> test = BettingTest(Harm(bound=1.0))
    >>> for loss in (0.5, 0.5, 0.5, 0.5): test.take(loss)
    >>> test.blocks, round(test.e_value, 4), round(test.p_against, 4), round(test.detector, 4)
    (4, 1.8914, 0.5287, 4.7384)
    """

    __slots__ = ("_correlation", "_state", "harm")

    def __init__(self, harm: Harm) -> None:
        self.harm = harm
        self._state = _State()
        self._correlation = BlockCorrelation()

    def take(self, loss: float) -> None:
        """The mean loss of the next block.

        Raises:
            ValueError: not finite; nothing is taken then.
        """
        if not math.isfinite(loss):
            raise ValueError(f"a block's loss must be finite, got {loss}")
        state, clipped = self._state, self.harm.clip(loss)
        state.clipped += clipped != loss
        state.clipped_off += loss - clipped
        null, x = self.harm.null, self.harm.scaled(clipped)
        largest = _MOST / null
        state.log_e += math.log1p(self._bet(null, largest) * (x - null))
        state.log_highest = max(state.log_highest, state.log_e)
        state.logs = [
            (_log_plus_one(log) if state.harmed else log) + math.log1p(share * largest * (x - null))
            for share, log in zip(_BETS, state.logs, strict=True)
        ]
        state.harmed = clipped > self.harm.margin
        state.blocks += 1
        state.total += x
        mean = (0.5 + state.total) / (state.blocks + 1)
        state.squares += (x - mean) ** 2
        self._correlation.take(x)

    def _bet(self, null: float, largest: float) -> float:
        state = self._state
        ahead = (0.5 + state.total) / (state.blocks + 1) - null
        variance = (0.25 + state.squares) / (state.blocks + 1)
        return min(max(ahead / (variance + ahead * ahead), 0.0), largest)

    def skip(self) -> None:
        """A block is void: the next one does not follow the last."""
        self._correlation.skip()

    @property
    def blocks(self) -> int:
        """Blocks taken."""
        return self._state.blocks

    @property
    def log_e(self) -> float:
        """Natural logarithm of E."""
        return self._state.log_e

    @property
    def e_value(self) -> float:
        """E, at most e^700."""
        return math.exp(min(self._state.log_e, LARGEST_LOG))

    @property
    def p_against(self) -> float:
        """min(1, 1 / sup E): an anytime-valid p-value of H0; small speaks against the challenger."""
        return math.exp(-self._state.log_highest)

    @property
    def log_detector(self) -> float:
        """Natural logarithm of M; -inf before the first block."""
        logs = self._state.logs
        highest = max(logs)
        if highest == -math.inf:
            return highest
        return highest + math.log(math.fsum(math.exp(log - highest) for log in logs) / len(logs))

    @property
    def detector(self) -> float:
        """M, at most e^700."""
        return math.exp(min(self.log_detector, LARGEST_LOG))

    @property
    def clip_share(self) -> float:
        """Share of blocks beyond the bound, a fraction; 0 without blocks."""
        return self._state.clipped / self._state.blocks if self._state.blocks else 0.0

    @property
    def clipped_off(self) -> float:
        """Sum of loss - clip(loss): what the test did not see; positive is harm."""
        return self._state.clipped_off

    @property
    def lag1(self) -> float | None:
        """Correlation of neighbouring blocks (`BlockCorrelation`); None while there are too few."""
        return self._correlation.lag1

    @property
    def dependent(self) -> bool:
        """Whether neighbouring blocks are too much alike for H0 to be what is tested."""
        return self._correlation.dependent

    def to_bytes(self) -> bytes:
        """The state, exactly: MessagePack of 64-bit floats."""
        return msgspec.msgpack.encode((self._state, self._correlation.to_bytes()))

    @classmethod
    def from_bytes(cls, data: bytes, harm: Harm) -> BettingTest:
        """The test whose `to_bytes` gave `data`.

        Raises:
            StateError: the bytes do not fit.
        """
        test = cls(harm)
        try:
            test._state, correlation = msgspec.msgpack.decode(data, type=tuple[_State, bytes])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(f"betting test: {error}") from error
        if len(test._state.logs) != len(_BETS):
            raise StateError(f"betting test: {len(test._state.logs)} bets, this program makes {len(_BETS)}")
        test._correlation = BlockCorrelation.from_bytes(correlation)
        return test


def _log_plus_one(log: float) -> float:
    """log(e^log + 1) without overflow."""
    return max(log, 0.0) + math.log1p(math.exp(-abs(log)))
