"""The real book: exact, order-free, each report counted once, honest where it cannot know."""

import random
from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading_cases import (
    BTC,
    INSTRUMENTS,
    START,
    fill,
    key_of,
    oracle_totals,
    random_chain,
    report,
    undoing,
)

from monitor.trading.ledger import Applied, Ledger, LedgerRules
from monitor.trading.units import money_of
from monitor.wire.messages import ExecutionReport

SECOND = 1_000_000_000
USD = 10**18


def flat(**rules: object) -> Ledger:
    return Ledger(INSTRUMENTS, LedgerRules(start_flat=True, **rules), "active,real")  # type: ignore[arg-type]


def applied(ledger: Ledger, *reports: ExecutionReport) -> list[Applied]:
    return [outcome(ledger, each, START + place) for place, each in enumerate(reports)]


def outcome(ledger: Ledger, each: ExecutionReport, eff_ns: int) -> Applied:
    return ledger.apply(each, eff_ns, eff_ns, key_of(each))[0]


def knows(ledger: Ledger, each: ExecutionReport, eff_ns: int) -> bool:
    """Whether the report's id is known: with other terms it contradicts then."""
    other = msgspec.structs.replace(each, last_price=Decimal(1))
    return ledger.repeat(other, eff_ns, key_of(each)) is Applied.CONFLICT


def totals(ledger: Ledger) -> tuple[dict[str, Fraction], dict[str, Fraction], dict[str, Fraction]]:
    book = ledger.book
    lot = {units.symbol: Fraction(units.lot_size) for units in INSTRUMENTS}
    return (
        {s: lot[s] * line.quantity for s, line in book.lines.items() if line.quantity},
        {c: Fraction(amount, 10**18) for c, amount in book.cash.items() if amount},
        {c: Fraction(amount, 10**18) for c, amount in book.fees.items() if amount},
    )


def present(amounts: dict[str, Fraction]) -> dict[str, Fraction]:
    return {key: amount for key, amount in amounts.items() if amount}


@given(st.integers(0, 2**32))
def test_any_order_of_fills_corrections_busts_and_duplicates_gives_the_exact_totals(seed: int) -> None:
    rng = random.Random(seed)
    chains = [random_chain(rng, f"x{i}", rng.choice(INSTRUMENTS)) for i in range(rng.randint(1, 12))]
    expected = oracle_totals([c.in_force for c in chains if c.in_force], INSTRUMENTS)
    reports = [each for chain in chains for each in chain.reports]
    for shuffled in (False, True):
        ledger = flat()
        stream = [*reports, *rng.choices(reports, k=3)]
        if shuffled:
            rng.shuffle(stream)
        outcomes = applied(ledger, *stream)
        assert outcomes.count(Applied.APPLIED) + outcomes.count(Applied.UNRECONCILED) == len(reports)
        assert shuffled or Applied.UNRECONCILED not in outcomes
        assert outcomes.count(Applied.DUPLICATE) == 3
        quantity, cash, fees = totals(ledger)
        assert quantity == present(expected[0])
        assert cash == present(expected[1])
        assert fees == present(expected[2])
        assert set(ledger.book.open) == set(quantity)


@given(st.integers(0, 2**32))
def test_realised_and_open_profit_add_up_to_equity_after_every_report(seed: int) -> None:
    rng = random.Random(seed)
    ledger = flat()
    chains = [random_chain(rng, f"x{i}", BTC) for i in range(6)]
    reports = [each for chain in chains for each in chain.reports]
    reports.append(report("cash", "funding", "BTC/USD", amount="-0.25", currency="USD"))
    reports.append(report("cash", "in", "BTC/USD", amount="1000", currency="USD", reason="transfer"))
    rng.shuffle(reports)
    other = 0
    for place, each in enumerate(reports):
        ledger.apply(each, START + place, START + place, key_of(each))
        if each.exec_id == "funding":
            assert each.amount is not None
            other += money_of(each.amount)
        line = ledger.book.lines["BTC/USD"]
        value = BTC.value(line.quantity, rng.randrange(10**7))
        open_profit = value - line.cost
        net = line.realised + open_profit - line.fees.get("USD", 0) + line.transfers.get("USD", 0) + other
        assert net == line.cash.get("USD", 0) + value


def test_a_flip_with_multiplier_and_rebate() -> None:
    ledger = flat()
    applied(ledger, fill("a", "2", "4000", fee="4.5"), fill("b", "-5", "4010.25", fee="-1.5"))
    line = ledger.book.lines["ES"]
    assert (line.quantity, line.realised) == (-3, 2 * 41 * 50 * USD // 4)
    assert line.cash["USD"] == (-2 * 4000 * 50 * 2 - 9 + 5 * 401025 + 3) * USD // 2
    assert line.fees["USD"] == 3 * USD


def test_a_bust_without_a_fee_takes_back_the_fee_that_was_paid_in_either_order() -> None:
    paid = fill("a", "2", "4000", fee="4.5", fee_currency="BNB")
    bust = msgspec.structs.replace(
        paid, kind="bust", exec_id="b", exec_ref_id="a", fee=None, fee_currency=None
    )
    for order in ([paid, bust], [bust, paid]):
        ledger = flat()
        first = Applied.APPLIED if order[0] is paid else Applied.UNRECONCILED
        assert applied(ledger, *order) == [first, Applied.APPLIED]
        assert totals(ledger) == ({}, {}, {})


def test_a_correction_whose_old_terms_leave_out_the_fee_takes_it_back_in_any_order() -> None:
    first = fill("a", "3", "4000", fee="1.5", fee_currency="BNB")
    undoes = msgspec.structs.replace(undoing(first), fee=None, fee_currency=None)
    second = msgspec.structs.replace(
        fill("c", "2", "4000", fee="1"), kind="correct", exec_ref_id="a", undoes=undoes
    )
    third = msgspec.structs.replace(
        fill("d", "2", "3999", fee="0.25"),
        kind="correct",
        exec_ref_id="c",
        undoes=msgspec.structs.replace(undoing(second), fee=None),
    )
    for order in permutations([first, second, third]):
        ledger = flat()
        applied(ledger, *order)
        assert totals(ledger) == (
            {"ES": Fraction(2)},
            {"USD": -2 * 3999 * 50 - Fraction(1, 4)},
            {"USD": Fraction(1, 4)},
        )


def test_an_id_with_other_economics_than_before_is_a_conflict_that_counts_nothing() -> None:
    ledger = flat()
    paid = fill("a", "2", "4000", fee="1")
    better = msgspec.structs.replace(
        fill("c", "2", "3999"), kind="correct", exec_ref_id="a", undoes=undoing(paid)
    )
    bust = msgspec.structs.replace(better, kind="bust", exec_id="b", exec_ref_id="c", undoes=None)
    applied(ledger, paid, report("new", "n"))
    others = [
        fill("a", "3", "4000", fee="1"),
        fill("a", "2", "4000.25", fee="1"),
        fill("a", "2", "4000", fee="2"),
        fill("a", "0.5", "4000"),
        report("bust", "a", exec_ref_id="x"),
        fill("n", "1", "4000"),
    ]
    for undone in (None, better, bust):
        if undone is not None:
            assert outcome(ledger, undone, START + 9) is Applied.APPLIED
        before = totals(ledger)
        assert applied(ledger, *others) == [Applied.CONFLICT] * len(others)
        # The venue may send it again as it was, whatever became of it.
        assert (
            applied(ledger, paid, msgspec.structs.replace(paid, kind="partial_fill"))
            == [Applied.DUPLICATE] * 2
        )
        assert totals(ledger) == before
        assert ledger.known_position("ES")
        restored = flat()
        restored.restore({k: raw for k, raw in ledger.records(dirty_only=False).items() if raw is not None})
        ledger = restored


def test_what_is_known_to_repeat_is_held_against_memory_and_moves_nothing() -> None:
    ledger = flat(exec_horizon_ns=SECOND)
    paid = fill("a", "2", "4000")
    other = fill("a", "3", "4000")
    assert ledger.repeat(paid, START, key_of(paid)) is Applied.DUPLICATE
    ledger.apply(paid, START, START, key_of(paid))
    assert ledger.repeat(paid, START, key_of(paid)) is Applied.DUPLICATE
    assert ledger.repeat(other, START, key_of(other)) is Applied.CONFLICT
    assert ledger.repeat(other, START + SECOND + 1, key_of(other)) is Applied.DUPLICATE
    assert ledger.book.quantity("ES") == 2


def test_a_bust_without_economics_takes_them_from_memory_or_leaves_the_position_unknown() -> None:
    paid = fill("a", "2", "4000", fee="4.5")
    bust = report("bust", "b", exec_ref_id="a")
    after = flat()
    assert applied(after, paid, bust) == [Applied.APPLIED, Applied.APPLIED]
    assert totals(after) == ({}, {}, {})
    assert after.known_position("ES")
    before = flat()
    assert applied(before, bust, paid) == [Applied.UNKNOWN_BUST, Applied.APPLIED]
    assert totals(before) == ({}, {}, {})
    assert not before.known_position("ES")


def test_a_bust_may_name_the_corrected_execution_or_the_correction() -> None:
    first = fill("a", "3", "4000", fee="1")
    fee_only = msgspec.structs.replace(
        first, kind="correct", exec_id="c", exec_ref_id="a", fee=None, undoes=undoing(first)
    )
    for named in ("a", "c"):
        ledger = flat()
        bust = msgspec.structs.replace(fee_only, kind="bust", exec_id="b", exec_ref_id=named, undoes=None)
        assert applied(ledger, first, fee_only, bust) == [Applied.APPLIED] * 3
        assert totals(ledger) == ({}, {}, {})


def test_a_bust_older_than_memory_uses_its_own_economics_and_is_counted() -> None:
    ledger = flat(exec_horizon_ns=SECOND)
    paid = fill("a", "2", "4000")
    bust = msgspec.structs.replace(paid, kind="bust", exec_id="b", exec_ref_id="a")
    ledger.apply(paid, START, START, key_of(paid))
    assert outcome(ledger, bust, START + 5 * SECOND) is Applied.UNRECONCILED
    assert totals(ledger) == ({}, {}, {})


def test_an_execution_counts_once_a_horizon_and_per_account_and_symbol() -> None:
    ledger = flat(exec_horizon_ns=SECOND)
    once = fill("a", "1", "4000")
    assert outcome(ledger, once, START) is Applied.APPLIED
    assert knows(ledger, once, START + SECOND)
    assert outcome(ledger, once, START + SECOND) is Applied.DUPLICATE
    assert outcome(ledger, msgspec.structs.replace(once, account="other"), START + SECOND) is Applied.APPLIED
    assert outcome(ledger, fill("a", "1", "100", "FGBL"), START + SECOND) is Applied.APPLIED
    assert not knows(ledger, once, START + SECOND + 1)


def test_only_the_newest_executions_are_remembered() -> None:
    ledger = flat(exec_limit=3)
    fills = [fill(str(i), "1", "4000") for i in range(4)]
    applied(ledger, *fills)
    assert [knows(ledger, each, START + 9) for each in fills] == [False, True, True, True]


@pytest.mark.parametrize("kind", ["new", "ack", "cancel", "reject", "expire"])
def test_kinds_without_economics_move_nothing_but_are_known(kind: str) -> None:
    ledger = flat()
    each = report(kind, "a", side="buy", quantity="3", price="4000", fee="2")
    assert applied(ledger, each, each) == [Applied.IGNORED, Applied.DUPLICATE]
    assert totals(ledger) == ({}, {}, {})


def test_a_fill_after_a_cancel_counts() -> None:
    ledger = flat()
    applied(ledger, report("cancel", "a"), fill("b", "1", "4000"))
    assert ledger.book.quantity("ES") == 1


def test_a_position_is_unknown_until_it_is_stated() -> None:
    ledger = Ledger(INSTRUMENTS, LedgerRules(), "active,real")
    applied(ledger, fill("a", "1", "4000"))
    assert not ledger.known_position("ES")
    assert (
        outcome(ledger, report("position", "p", quantity="-4", price="4001.5"), START + 2) is Applied.APPLIED
    )
    line = ledger.book.lines["ES"]
    assert ledger.known_position("ES")
    assert not ledger.known_position("FGBL")
    assert (line.quantity, line.cash["USD"]) == (-4, 4 * 40015 * 5 * USD)
    assert (line.cost, line.realised) == (-line.cash["USD"], 0)


def test_a_position_that_agrees_changes_nothing_and_one_that_contradicts_is_counted_without_profit() -> None:
    ledger = flat()
    agrees = report("position", "p", quantity="4", price="3990")
    assert applied(ledger, fill("a", "4", "4000"), agrees) == [Applied.APPLIED] * 2
    line = ledger.book.lines["ES"]
    assert line.cash["USD"] == -4 * 4000 * 50 * USD
    contradicts = report("position", "q", quantity="1", price="4000")
    assert outcome(ledger, contradicts, START + 5) is Applied.RECONCILIATION_BREAK
    assert (line.quantity, line.cash["USD"], line.realised) == (1, -4000 * 50 * USD, 0)


@pytest.mark.parametrize("stored", [False, True])
def test_a_stated_position_holds_what_happened_before_it_whenever_that_is_reported(*, stored: bool) -> None:
    ledger = flat()
    bought = fill("a", "4", "4000", fee="1.5")
    outcome(ledger, bought, START)
    said = report("position", "p", quantity="10", price="4000")
    assert outcome(ledger, said, START + 5) is Applied.RECONCILIATION_BREAK
    if stored:
        records = {k: raw for k, raw in ledger.records(dirty_only=False).items() if raw is not None}
        ledger = flat()
        ledger.restore(records)
    missed = fill("b", "6", "4000", fee="2")
    bust = msgspec.structs.replace(bought, kind="bust", exec_id="u", exec_ref_id="a")
    wrong = msgspec.structs.replace(
        fill("c", "5", "4000", fee="3"), kind="correct", exec_ref_id="b", undoes=undoing(missed)
    )
    for each in (missed, bust, wrong):
        late = ledger.apply(each, START + 4, START + 9, key_of(each))
        assert late == (Applied.CONTAINED, None)
    assert totals(ledger) == ({"ES": Fraction(10)}, {"USD": Fraction(-10 * 4000 * 50 - 3)}, {"USD": 3})
    assert outcome(ledger, said, START + 9) is Applied.DUPLICATE
    assert ledger.known_position("ES")
    after = msgspec.structs.replace(missed, kind="bust", exec_id="v", exec_ref_id="b", fee=None)
    ledger.apply(after, START + 6, START + 9, key_of(after))
    assert ledger.book.quantity("ES") == 4


def test_a_position_stated_as_of_before_what_is_booked_says_nothing() -> None:
    ledger = flat()
    outcome(ledger, fill("a", "4", "4000"), START + 5)
    for place, (at, found) in enumerate(
        [(4, Applied.OUTDATED), (5, Applied.RECONCILIATION_BREAK), (4, Applied.OUTDATED)]
    ):
        said = report("position", f"p{place}", quantity="1", price="4000")
        assert ledger.apply(said, START + at, START + 9, key_of(said))[0] is found
    assert ledger.book.quantity("ES") == 1
    assert ledger.known_position("ES")
    unknown = Ledger(INSTRUMENTS, LedgerRules(), "active,real")
    outcome(unknown, fill("a", "4", "4000"), START + 5)
    assert unknown.apply(said, START + 4, START + 9, key_of(said))[0] is Applied.APPLIED
    assert unknown.known_position("ES")


@pytest.mark.parametrize("start_flat", [False, True])
def test_a_position_of_one_of_several_accounts_is_not_taken_for_that_of_all(*, start_flat: bool) -> None:
    ledger = Ledger(INSTRUMENTS, LedgerRules(start_flat=start_flat), "active,real")
    mine = report("position", "p", quantity="10", price="4000", account="A")
    theirs = report("position", "p", quantity="5", price="4000", account="B")
    assert outcome(ledger, fill("a", "10", "4000", account="A"), START) is Applied.APPLIED
    assert outcome(ledger, fill("b", "1", "4000"), START + 1) is Applied.APPLIED
    outcome(ledger, mine, START + 2)
    assert ledger.known_position("ES")
    assert outcome(ledger, theirs, START + 3) is Applied.SEVERAL_ACCOUNTS
    assert ledger.book.quantity("ES") == 10
    assert not ledger.known_position("ES")
    ledger = Ledger(INSTRUMENTS, LedgerRules(start_flat=start_flat), "active,real")
    outcome(ledger, mine, START)
    outcome(ledger, fill("a", "10", "4000", account="B"), START + 1)
    assert ledger.known_position("ES") == start_flat


def test_cash_is_profit_unless_it_is_a_transfer() -> None:
    ledger = flat()
    applied(
        ledger,
        report("cash", "a", amount="-12.5", currency="USD", reason="funding"),
        report("cash", "b", amount="100", currency="EUR", reason="transfer"),
        report("cash", "c", amount="-30", currency="EUR", reason=" Withdrawal"),
        report("cash", "d", amount="7", currency="EUR", reason="DEPOSIT"),
    )
    assert ledger.book.cash == {"USD": -25 * USD // 2, "EUR": 77 * USD}
    assert ledger.book.transfers == {"EUR": 77 * USD}


@pytest.mark.parametrize(
    "bad",
    [
        fill("x", "1.5", "4000"),
        report("fill", "x", side="buy", last_quantity="1"),
        report("fill", "x", side=None, last_quantity="1", last_price="1"),
        report("cash", "x"),
    ],
)
def test_what_cannot_be_counted_makes_the_position_unknown_until_it_is_stated(bad: ExecutionReport) -> None:
    ledger = flat()
    assert applied(ledger, fill("a", "1", "4000"), bad) == [Applied.APPLIED, Applied.INVALID]
    assert ledger.book.quantity("ES") == 1
    assert not ledger.known_position("ES")
    outcome(ledger, report("position", "p", quantity="2", price="4000"), START + 5)
    assert ledger.known_position("ES")


def test_a_correction_may_turn_the_side() -> None:
    ledger = flat()
    first = fill("a", "3", "4000", fee="1")
    turned = msgspec.structs.replace(
        fill("c", "-2", "4100", fee="2"), kind="correct", exec_ref_id="a", undoes=undoing(first)
    )
    assert applied(ledger, first, turned) == [Applied.APPLIED] * 2
    assert totals(ledger) == (
        {"ES": Fraction(-2)},
        {"USD": Fraction(2 * 4100 * 50 - 2)},
        {"USD": Fraction(2)},
    )


def test_off_tick_prices_are_exact() -> None:
    ledger = flat()
    applied(ledger, fill("a", "0.00000003", "65000.0123456789", "BTC/USD"))
    assert Fraction(-ledger.book.cash["USD"], USD) == Fraction(
        Decimal("0.00000003") * Decimal("65000.0123456789")
    )


def test_every_report_says_what_it_did() -> None:
    ledger = flat()
    paid = fill("a", "2", "4000")
    bust = msgspec.structs.replace(paid, kind="bust", exec_id="b", exec_ref_id="a")
    other = msgspec.structs.replace(bust, exec_id="c", exec_ref_id="nowhere")
    reports = [
        paid,
        paid,
        report("position", "p", quantity="2", price="4000"),
        report("position", "q", quantity="3", price="4000"),
        bust,
        other,
        report("bust", "d", exec_ref_id="nowhere"),
        report("cancel", "e"),
        fill("f", "0.5", "4000"),
    ]
    assert applied(ledger, *reports) == [
        Applied.APPLIED,
        Applied.DUPLICATE,
        Applied.APPLIED,
        Applied.RECONCILIATION_BREAK,
        Applied.APPLIED,
        Applied.UNRECONCILED,
        Applied.UNKNOWN_BUST,
        Applied.IGNORED,
        Applied.INVALID,
    ]


def test_an_execution_that_was_busted_has_nothing_left_to_bust() -> None:
    ledger = flat()
    paid = fill("a", "2", "4000")
    busts = [msgspec.structs.replace(paid, kind="bust", exec_id=name, exec_ref_id="a") for name in ("b", "c")]
    assert applied(ledger, paid, *busts, paid) == [
        Applied.APPLIED,
        Applied.APPLIED,
        Applied.UNRECONCILED,
        Applied.DUPLICATE,
    ]
    bare = report("bust", "d", exec_ref_id="a")
    assert applied(ledger, bare) == [Applied.UNKNOWN_BUST]


def test_only_fills_that_count_are_trades() -> None:
    ledger = flat()
    paid = fill("a", "2", "4000", fee="1", fee_currency="BNB")
    early = report("bust", "b", exec_ref_id="x")
    correct = msgspec.structs.replace(
        paid, kind="correct", exec_id="c", exec_ref_id="a", undoes=undoing(paid)
    )
    stream = [paid, paid, early, fill("x", "1", "4000"), correct, report("new", "n")]
    counted = [
        ledger.apply(each, START + place, START + place, key_of(each))[1] for place, each in enumerate(stream)
    ]
    assert [None if each is None else each.lots for each in counted] == [2, None, None, None, None, None]


def test_turnover_is_what_stands_of_what_was_traded() -> None:
    ledger = flat()
    first = fill("a", "2", "4000")
    second = fill("b", "-3", "4010")
    better = msgspec.structs.replace(
        fill("c", "-3", "4020"), kind="correct", exec_ref_id="b", undoes=undoing(second)
    )
    applied(ledger, first, second, better)
    assert ledger.book.traded == {"USD": (2 * 4000 + 3 * 4020) * 50 * USD}
    applied(ledger, msgspec.structs.replace(first, kind="bust", exec_id="d", exec_ref_id="a"))
    assert ledger.book.traded == {"USD": 3 * 4020 * 50 * USD}


def test_a_fee_in_another_currency_is_no_money_of_the_trip() -> None:
    for currency, trips in ((None, (1, 0, 1)), ("BNB", (1, 1, 0))):
        ledger = flat()
        applied(ledger, fill("a", "1", "4000"), fill("b", "-1", "4000.25", fee="20", fee_currency=currency))
        assert ledger.book.trips == trips
