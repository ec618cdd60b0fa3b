"""The catalogue: one family a metric. Prometheus names, documents, `check` and the report are made from it.

Adding a metric is a line here, and a `Source` in `measures` where it needs a new pane statistic; no engine file changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.engine.books import divergence as books_apart
from monitor.engine.books import figures
from monitor.engine.books.benchmark import Benchmark
from monitor.engine.books.blocks import EffectBlocks
from monitor.engine.books.books import REAL_BOOK, TWIN_BOOK
from monitor.engine.books.series import alone, each_book, each_shadow, each_twin
from monitor.engine.drift_rules import DriftRules
from monitor.engine.family import BookMetric, Family, Labels, Metric
from monitor.engine.measures import (
    agreement,
    drift,
    errors,
    fills,
    labelled,
    labelled_rows,
    latency,
    markouts,
    orders,
    prediction_drift,
    refused,
    sequences,
    skill,
    store,
)
from monitor.engine.measures.feature_readings import Features
from monitor.engine.memories.cross_section import CrossSection
from monitor.engine.memories.orders import NewOrders
from monitor.engine.memories.previous import Previous
from monitor.engine.memory import Memory
from monitor.engine.scope import Scope, Source
from monitor.stats import ks, losses, moments, psi
from monitor.stats.agreement import (
    disagreement_gap,
    disagreement_rate,
    max_abs_difference,
    opposed,
    sign_agreement,
)
from monitor.stats.betting import BettingTest
from monitor.stats.calibration_curve import (
    debiased_calibration_error,
    expected_calibration_error,
    expected_when_calibrated,
)
from monitor.stats.change_detection import ChangeDetector
from monitor.stats.confusion import confuse, f1_of
from monitor.stats.cross_section import cross_section_correlation
from monitor.stats.dependence import effective_size
from monitor.stats.differences import abs_difference
from monitor.stats.divergence import divergence
from monitor.stats.drift import DriftReading
from monitor.stats.edges import disagreement_edges, hits, net_edges
from monitor.stats.histogram import LagHistogram, LatencyHistogram
from monitor.stats.information_coefficient import after_costs, information_coefficient
from monitor.stats.intervals import quantile_ranks, scatter, share_interval
from monitor.stats.kendall import kendall, taus
from monitor.stats.parity import Tolerance, serving_difference, serving_parity
from monitor.stats.rank import kendall_tau, rank_correlation, spearman
from monitor.stats.roc import area_under_curve
from monitor.stats.significance import significant
from monitor.stats.slots import Slots
from monitor.stats.staleness import Staleness
from monitor.stats.weighted_mean import weighted_mean
from monitor.trading import performance
from monitor.trading.markout import markouts as markouts_of

GROUPS = (
    latency,
    errors,
    agreement,
    drift,
    prediction_drift,
    store,
    sequences,
    skill,
    labelled_rows,
    markouts,
    orders,
    refused,
    fills,
)


def sources(scope: Scope) -> Iterator[Source]:
    """Every pane statistic of a deployment."""
    for group in GROUPS:
        yield from group.sources(scope)


def memories(scope: Scope) -> Iterator[Memory]:
    """Fresh memories of one task of a deployment."""
    yield NewOrders(scope)
    yield from orders.memories(scope)
    yield from agreement.memories(scope)
    yield from skill.memories(scope)
    yield from markouts.memories(scope)
    yield from labelled_rows.memories(scope)
    yield from drift.memories(scope)


FAMILIES: tuple[Family, ...] = (
    Family("serve_latency", ("quantile",), "seconds", "active", 0, "Latency of production's answers, as served; else as tagged on orders.", latency.serve_latency, made_of=(latency.serve_latency, LatencyHistogram, quantile_ranks, scatter)),
    Family("serve_latency_above", ("limit",), "fraction", "active", 0, "Share of production's answers slower than the limit (s), timeouts included.", latency.serve_latency_above, made_of=(latency.serve_latency_above, LatencyHistogram, share_interval)),
    Family("inference_latency", ("quantile", "role"), "seconds", "model", 0, "Latency of the monitor's own scoring: compares roles, never production's SLO.", latency.inference_latency, made_of=(latency.inference_latency, LatencyHistogram, quantile_ranks)),
    Family("inference_latency_above", ("limit", "role"), "fraction", "model", 0, "Share of the monitor's own answers slower than the limit (s).", latency.inference_latency_above, made_of=(latency.inference_latency_above, LatencyHistogram, share_interval)),
    Family("end_to_end_latency", ("quantile",), "seconds", "active", 0, "Time from a feature event to the order that names it.", latency.end_to_end_latency, made_of=(latency.end_to_end_latency, LatencyHistogram, quantile_ranks)),
    Family("end_to_end_latency_above", ("limit",), "fraction", "active", 0, "Share of orders later than the limit (s) after their feature event.", latency.end_to_end_latency_above, made_of=(latency.end_to_end_latency_above, LatencyHistogram, share_interval)),
    Family("order_ack_latency", ("quantile",), "seconds", "active", 0, "Time from an order to its acknowledgement.", latency.order_ack_latency, made_of=(latency.order_ack_latency, LatencyHistogram, quantile_ranks)),
    Family("order_ack_latency_above", ("limit",), "fraction", "active", 0, "Share of orders acknowledged later than the limit (s).", latency.order_ack_latency_above, made_of=(latency.order_ack_latency_above, LatencyHistogram, share_interval)),
    Family("time_to_fill", ("quantile",), "seconds", "active", 0, "Time from an order to when all of it was filled.", latency.time_to_fill, made_of=(latency.time_to_fill, LatencyHistogram, quantile_ranks)),
    Family("event_lag", ("quantile",), "seconds", "deployment", 0, "Timestamp of the log less that of the feature event; negative where clocks differ.", latency.event_lag, signed=True, made_of=(latency.event_lag, LagHistogram, quantile_ranks)),
    Family("served_error_rate", (), "fraction", "active", 0, "Share of production's answers that failed.", errors.served_error_rate, made_of=(errors.served_error_rate, share_interval, scatter)),
    Family("error_rate", ("role",), "fraction", "role", 0, "Share of asked rows that raised, timed out, or came back non-finite or misshapen.", errors.error_rate, made_of=(errors.error_rate, share_interval)),
    Family("uptime", ("role",), "fraction", "role", 0, "Share of slots of 10 s with demand in which at least one request was answered.", errors.uptime, n_of="slots", made_of=(errors.uptime, Slots, share_interval)),
    Family("event_rate", ("stream",), "per second", "deployment", 0, "Rows folded a second.", errors.event_rate, made_of=(errors.event_rate,)),
    Family("schema_violations", (), "count", "deployment", 0, "Messages rejected for their form, types, values or schema.", errors.schema_violations, made_of=(errors.schema_violations,)),
    Family("late_events", (), "count", "deployment", 0, "Messages that came behind their input's bound.", errors.late_events, made_of=(errors.late_events,)),
    Family("disorder", ("stream",), "fraction", "deployment", 0, "Share of rows that came late or were reordered.", errors.disorder, made_of=(errors.disorder, share_interval)),
    Family("duplicate_events", (), "count", "deployment", 0, "Messages whose key had been folded before.", errors.duplicate_events, made_of=(errors.duplicate_events,)),
    Family("unpaired_orders", (), "count", "deployment", 0, "Orders whose feature event did not come within the join window.", errors.unpaired_orders, made_of=(errors.unpaired_orders,)),
    Family("rank_correlation", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Spearman correlation of active and shadow within symbol, averaged by n.", agreement.rank_correlation, heavy=True, n_of="pairs", made_of=(rank_correlation, spearman, effective_size)),
    Family("rank_correlation_pooled", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Spearman correlation of all symbols together: levels of symbols flatter it.", agreement.rank_correlation_pooled, heavy=True, n_of="pairs", made_of=(rank_correlation, effective_size)),
    Family("rank_correlation_cross_section", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Spearman correlation among the symbols of an instant, averaged over instants.", agreement.rank_correlation_cross_section, heavy=True, n_of="instants of pairs", made_of=(CrossSection, cross_section_correlation)),
    Family("kendall_tau", ("role",), "correlation", "shadow", agreement.RANK_EVERY_NS, "Kendall's tau-b of active and shadow within symbol, averaged by n.", agreement.kendall_tau, heavy=True, n_of="pairs", made_of=(kendall_tau, kendall, taus)),
    Family("sign_agreement", ("role",), "fraction", "shadow", 0, "Share of pairs of active and shadow with one sign.", agreement.sign_agreement, kinds=agreement.SIGNED, made_of=(sign_agreement, opposed)),
    Family("max_abs_difference", ("role",), "prediction", "shadow", 0, "Largest |shadow - active| of all pairs.", agreement.max_abs_difference, kinds=agreement.SIGNED, made_of=(max_abs_difference,)),
    Family("abs_difference", ("quantile", "role"), "prediction", "shadow", agreement.RANK_EVERY_NS, "Quantiles of |shadow - active|.", agreement.abs_difference, heavy=True, kinds=agreement.SIGNED, n_of="pairs", made_of=(abs_difference,)),
    Family("disagreement_rate", ("role",), "fraction", "shadow", 0, "Share of pairs of active and shadow with different signs.", agreement.disagreement_rate, kinds=agreement.SIGNED, made_of=(disagreement_rate, opposed)),
    Family("disagreement_gap", ("role",), "prediction", "shadow", 0, "Mean of shadow - active over the pairs with different signs.", agreement.disagreement_gap, kinds=agreement.SIGNED, made_of=(disagreement_gap, opposed)),
    Family("serving_parity", (), "fraction", "active", 0, "Share of production's recorded answers that the active repeats within the tolerance.", agreement.serving_parity, made_of=(agreement.serving_parity, serving_parity, Tolerance)),
    Family("serving_difference", ("quantile",), "prediction", "active", agreement.RANK_EVERY_NS, "Quantiles of |recorded answer of production - active scored again|.", agreement.serving_difference, heavy=True, n_of="parity pairs", made_of=(serving_difference, abs_difference)),
    Family("psi", ("feature",), "nats", "nobody", drift.DRIFT_EVERY_NS, "Population stability index of a feature against the reference.", drift.psi, made_of=(psi.psi,)),
    Family("psi_excess", ("feature",), "nats", "nobody", drift.DRIFT_EVERY_NS, "PSI of a feature above what it is on average under no drift.", drift.psi_excess, signed=True, made_of=(DriftReading,)),
    Family("psi_p_value", ("feature",), "probability", "nobody", drift.DRIFT_EVERY_NS, "Chance of such a PSI of a feature under no drift, calibrated on the reference's panes.", drift.psi_p_value, made_of=(DriftReading,)),
    Family("ks", ("feature",), "distance", "nobody", drift.DRIFT_EVERY_NS, "Distance of Kolmogorov and Smirnov of a feature from the reference.", drift.ks, made_of=(ks.binned_ks, ks.exact_ks,)),
    Family("ks_p_value", ("feature",), "probability", "nobody", drift.DRIFT_EVERY_NS, "Upper bound of the chance of such a distance under no drift, calibrated on the reference's panes.", drift.ks_p_value, made_of=(DriftReading,)),
    Family("mean_shift_sigma", ("feature",), "sigma", "nobody", drift.DRIFT_EVERY_NS, "Shift of a feature's mean in standard deviations of the reference.", drift.mean_shift_sigma, made_of=(moments.mean_shifts,)),
    Family("null_rate", ("feature",), "fraction", "nobody", drift.DRIFT_EVERY_NS, "Share of a feature's values that are missing.", drift.null_rate, made_of=(Features.missing,)),
    Family("unseen_rate", ("feature",), "fraction", "nobody", drift.DRIFT_EVERY_NS, "Share of a categorical feature's values that the reference never saw.", drift.unseen_rate, made_of=(Features.unseen,)),
    Family("frozen_rate", ("feature",), "fraction", "nobody", drift.DRIFT_EVERY_NS, "Share of a feature's values that repeat the symbol's previous one.", drift.frozen_rate, made_of=(Previous, Staleness,)),
    Family("feature_age", ("feature",), "seconds", "nobody", drift.DRIFT_EVERY_NS, "Mean time since a symbol's value of a feature last changed.", drift.feature_age, made_of=(Previous, Staleness,)),
    Family("features_drifted", (), "count", "nobody", drift.DRIFT_EVERY_NS, "Features whose drift is both significant, corrected for their number, and material.", drift.features_drifted, n_of="features", made_of=(drift.features_drifted, DriftRules, significant,)),
    Family("drift_score", (), "nats", "nobody", drift.DRIFT_EVERY_NS, "The largest excess PSI of all features.", drift.drift_score, signed=True, made_of=(drift.drift_score,)),
    Family("prediction_psi", ("role",), "nats", "model", drift.DRIFT_EVERY_NS, "Population stability index of a role's predictions against the reference.", prediction_drift.prediction_psi, made_of=(psi.psi,)),
    Family("prediction_psi_excess", ("role",), "nats", "model", drift.DRIFT_EVERY_NS, "PSI of a role's predictions above what it is on average under no drift.", prediction_drift.prediction_psi_excess, signed=True, made_of=(DriftReading,)),
    Family("prediction_psi_p_value", ("role",), "probability", "model", drift.DRIFT_EVERY_NS, "Chance of such a PSI of a role's predictions under no drift.", prediction_drift.prediction_psi_p_value, made_of=(DriftReading,)),
    Family("prediction_ks", ("role",), "distance", "model", drift.DRIFT_EVERY_NS, "Distance of Kolmogorov and Smirnov of a role's predictions from the reference.", prediction_drift.prediction_ks, made_of=(ks.binned_ks,)),
    Family("prediction_ks_p_value", ("role",), "probability", "model", drift.DRIFT_EVERY_NS, "Upper bound of the chance of such a distance of predictions under no drift.", prediction_drift.prediction_ks_p_value, made_of=(DriftReading,)),
    Family("prediction_mean_shift_sigma", ("role",), "sigma", "model", drift.DRIFT_EVERY_NS, "Shift of a role's mean prediction in standard deviations of the reference.", prediction_drift.prediction_mean_shift_sigma, made_of=(moments.mean_shifts,)),
    Family("prediction_divergence_psi", ("role",), "nats", "shadow", drift.DRIFT_EVERY_NS, "PSI of a shadow's predictions against the active's on the same rows.", prediction_drift.prediction_divergence_psi, made_of=(divergence,)),
    Family("prediction_divergence_ks", ("role",), "distance", "shadow", drift.DRIFT_EVERY_NS, "Distance of Kolmogorov and Smirnov of a shadow's predictions from the active's.", prediction_drift.prediction_divergence_ks, made_of=(divergence,)),
    Family("feature_hit_rate", (), "fraction", "deployment", 0, "Share of lookups that the feature store answered.", store.feature_hit_rate, made_of=(store.feature_hit_rate,)),
    Family("ic", ("role",), "correlation", "role", skill.SKILL_EVERY_NS, "Spearman correlation of predictions and the mid returns after them, within symbol.", skill.ic, heavy=True, kinds=skill.RANKED, n_of="pairs", made_of=(information_coefficient,)),
    Family("ic_after_costs", ("role",), "correlation", "role", skill.SKILL_EVERY_NS, "The same with returns net of costs in the direction of the prediction.", skill.ic_after_costs, heavy=True, kinds=skill.RANKED, n_of="pairs", made_of=(after_costs,)),
    Family("ic_cross_section", ("role",), "correlation", "role", skill.SKILL_EVERY_NS, "Spearman correlation of predictions and returns among the symbols of an instant, averaged over instants.", skill.ic_cross_section, heavy=True, kinds=skill.RANKED, n_of="instants of pairs", made_of=(cross_section_correlation,)),
    Family("ic_decay", ("horizon", "role"), "correlation", "role", skill.SKILL_EVERY_NS, "The information coefficient by horizon (s).", skill.ic_decay, heavy=True, kinds=skill.RANKED, n_of="pairs", made_of=(information_coefficient,)),
    Family("net_edge_bps", ("role",), "bps", "role", skill.SKILL_EVERY_NS, "What the sign of a prediction earns of the mid return after it, less costs.", skill.net_edge, kinds=skill.RANKED, made_of=(net_edges,)),
    Family("disagreement_edge_bps", ("role",), "bps", "shadow", skill.SKILL_EVERY_NS, "Mid return in the shadow's direction where active and shadow want different positions.", skill.disagreement_edge, kinds=skill.RANKED, made_of=(disagreement_edges,)),
    Family("hit_rate", ("role",), "fraction", "role", skill.SKILL_EVERY_NS, "Share of predictions with the sign of the mid return after them, zeros apart.", skill.hit_rate, kinds=skill.RANKED, made_of=(hits,)),
    Family("accuracy", ("role",), "fraction", "role", 0, "Share of labelled predictions of the class that came true.", labelled.confused("accuracy"), kinds=labelled_rows.CLASSES, stream="outcomes", made_of=(confuse,)),
    Family("precision", ("role",), "fraction", "role", 0, "Share of predictions of class 1 that came true.", labelled.confused("precision"), kinds=labelled_rows.CLASSES, stream="outcomes", made_of=(confuse,)),
    Family("recall", ("role",), "fraction", "role", 0, "Share of labels of class 1 that were predicted.", labelled.confused("recall"), kinds=labelled_rows.CLASSES, stream="outcomes", made_of=(confuse,)),
    Family("f1", ("role",), "fraction", "role", 0, "Harmonic mean of precision and recall.", labelled.f1, kinds=labelled_rows.CLASSES, stream="outcomes", made_of=(confuse, f1_of)),
    Family("false_positive_rate", ("role",), "fraction", "role", 0, "Share of labels of other classes that were predicted to be of class 1.", labelled.confused("false_positive_rate"), kinds=labelled_rows.CLASSES, stream="outcomes", made_of=(confuse,)),
    Family("false_negative_rate", ("role",), "fraction", "role", 0, "Share of labels of class 1 that were predicted to be of another.", labelled.confused("false_negative_rate"), kinds=labelled_rows.CLASSES, stream="outcomes", made_of=(confuse,)),
    Family("auc", ("role",), "fraction", "role", skill.SKILL_EVERY_NS, "Probability that an event of class 1 was given more than one of class 0.", labelled.auc, heavy=True, kinds=labelled_rows.PROBABILITY, stream="outcomes", n_of="pairs", made_of=(area_under_curve,)),
    Family("brier", ("role",), "squared probability", "role", 0, "Mean squared difference of probability and outcome.", labelled.brier, kinds=labelled_rows.PROBABILITY, stream="outcomes", made_of=(losses.brier,)),
    Family("log_loss", ("role",), "nats", "role", 0, "Mean surprise at what came true.", labelled.log_loss, kinds=labelled_rows.PROBABILITY, stream="outcomes", made_of=(losses.log_loss,)),
    Family("ece", ("role",), "fraction", "role", skill.SKILL_EVERY_NS, "Expected calibration error: never 0, also of a calibrated model.", labelled.ece, kinds=labelled_rows.PROBABILITY, stream="outcomes", made_of=(expected_calibration_error, expected_when_calibrated)),
    Family("ece_debiased", ("role",), "fraction", "role", skill.SKILL_EVERY_NS, "Root mean square miscalibration, less what chance makes of it.", labelled.ece_debiased, kinds=labelled_rows.PROBABILITY, stream="outcomes", made_of=(debiased_calibration_error,)),
    Family("confidence", ("role",), "fraction", "role", 0, "Mean probability of the likelier class: how sure, not how right.", labelled.confidence, kinds=labelled_rows.PROBABILITY, made_of=(losses.confidence,)),
    Family("rmse", ("role",), "prediction", "role", 0, "Root mean square difference of prediction and outcome.", labelled.rmse, kinds=labelled_rows.RETURN, stream="outcomes", made_of=(losses.squared_error,)),
    Family("sign_accuracy", ("role",), "fraction", "role", 0, "Share of labelled predictions with the sign of the outcome, zeros apart.", labelled.sign_accuracy, kinds=labelled_rows.RETURN, stream="outcomes", made_of=(losses.signs,)),
    Family("label_coverage", ("role",), "fraction", "nobody", 0, "Share of predictions that met their outcome, of those that no longer wait.", labelled.label_coverage, stream="outcomes", made_of=(labelled.label_coverage,)),
    Family("label_rows", ("reason",), "count", "nobody", 0, "What became of predictions and outcomes that wait for each other, by reason.", labelled.label_rows, stream="outcomes", made_of=(labelled.label_rows,)),
    Family("error_e_value", ("role",), "evidence", "shadow", 0, "Evidence since the start that the shadow fails more often than the active: fires above 1/alpha.", sequences.error_e_value, windowed=False, made_of=(BettingTest,)),
    Family("error_e_detector", ("role",), "evidence", "shadow", 0, "Evidence of any stretch that the shadow now fails more often: fires above the mean blocks between false alarms.", sequences.error_e_detector, windowed=False, made_of=(BettingTest,)),
    Family("loss_e_value", ("role",), "evidence", "shadow", 0, "Evidence since the start that the shadow's loss against labels is larger: fires above 1/alpha.", sequences.loss_e_value, windowed=False, kinds=("class", "probability", "return"), stream="outcomes", made_of=(BettingTest,)),
    Family("loss_e_detector", ("role",), "evidence", "shadow", 0, "Evidence of any stretch that the shadow's loss is now larger: fires above the mean blocks between false alarms.", sequences.loss_e_detector, windowed=False, kinds=("class", "probability", "return"), stream="outcomes", made_of=(BettingTest,)),
    Family("pnl_e_value", ("role",), "evidence", "shadow", 0, "Evidence since the start that the shadow's signals earn less: fires above 1/alpha.", sequences.pnl_e_value, windowed=False, capital=True, made_of=(EffectBlocks, BettingTest)),
    Family("pnl_e_detector", ("role",), "evidence", "shadow", 0, "Evidence of any stretch that the shadow's signals now earn less: fires above the mean blocks between false alarms.", sequences.pnl_e_detector, windowed=False, capital=True, made_of=(BettingTest,)),
    Family("prediction_gap_change", ("role",), "count", "nobody", 0, "Changes of level of mean shadow - active, found in the window by ADWIN.", sequences.prediction_gap_change, made_of=(ChangeDetector,)),
    Family("loss_change", ("role",), "count", "nobody", 0, "Changes of level of the shadow's mean loss less the active's, found in the window by ADWIN.", sequences.loss_change, kinds=("class", "probability", "return"), stream="outcomes", made_of=(ChangeDetector,)),
    Family("serve_latency_change", (), "count", "nobody", 0, "Changes of level of production's mean log latency, found in the window by ADWIN.", sequences.serve_latency_change, made_of=(ChangeDetector,)),
    Family("inference_latency_change", ("role",), "count", "nobody", 0, "Changes of level of a role's mean log latency, found in the window by ADWIN.", sequences.inference_latency_change, made_of=(ChangeDetector,)),
    Family("markout", ("fills", "horizon", "role"), "bps", "book", skill.SKILL_EVERY_NS, "How the mid moved the way of a book's trades by a horizon (s) after them.", markouts.markout, made_of=(markouts.markout, markouts_of, weighted_mean)),
    Family("fill_rate", ("fills", "order_type"), "fraction", "active", 0, "Quantity filled of quantity ordered, of orders that ended, on paper and in fact.", fills.fill_rate, made_of=(fills.fill_rate,)),
    Family("fill_rate_mismatch", ("order_type",), "fraction", "fills", 0, "How far the fill rates on paper and in fact lie apart.", fills.fill_rate_mismatch, made_of=(fills.fill_rate_mismatch,)),
    Family("capped_orders", ("reason", "role"), "count", "nobody", 0, "Paper orders that a cap cut, by cap.", fills.capped_orders, made_of=(fills.capped_orders,)),
    Family("reject_rate", (), "fraction", "active", 0, "Share of rejects among the answers to orders.", orders.reject_rate, made_of=(orders.reject_rate, share_interval)),
    Family("rejects", ("reason",), "count", "active", 0, "Orders rejected, by reason.", orders.rejects, made_of=(orders.rejects,)),
    Family("pre_trade_pass_rate", (), "fraction", "active", 0, "Share of orders that passed the checks before the trade.", orders.pre_trade_pass_rate, made_of=(orders.pre_trade_pass_rate, share_interval)),
    Family("tag_completeness", (), "fraction", "active", 0, "Share of new orders that say all of the model behind them.", orders.tag_completeness, made_of=(orders.tag_completeness, share_interval)),
    Family("version_mismatch_rate", (), "fraction", "active", 0, "Share of tagged orders of another model version than the active's.", orders.version_mismatch_rate, made_of=(orders.version_mismatch_rate, share_interval)),
    Family("order_rate", (), "per second", "active", 0, "New orders a second.", orders.order_rate, made_of=(orders.order_rate,)),
    Family("repeated_orders", (), "count", "active", 0, "New orders that repeat the symbol's order before them.", orders.repeated_orders, made_of=(orders.repeated_orders,)),
    Family("unknown_orders", (), "count", "deployment", 0, "Orders reported of without having been announced.", orders.unknown_orders, made_of=(orders.unknown_orders,)),
    Family("forgotten_orders", (), "count", "deployment", 0, "Open orders that fell out of memory.", orders.forgotten_orders, made_of=(orders.forgotten_orders,)),
    Family("filtered_orders", (), "count", "deployment", 0, "Execution reports that the deployment's filter leaves out.", orders.filtered_orders, made_of=(orders.filtered_orders,)),
    Family("filtered_out", (), "count", "deployment", 0, "Execution reports that the filter leaves out, where it has let none through so far.", refused.filtered_out, made_of=(refused.filtered_out,)),
    Family("execution_gaps", (), "count", "deployment", 0, "Reports that show executions to be missing.", orders.execution_gaps, made_of=(orders.execution_gaps,)),
    Family("reconciliation_breaks", (), "count", "deployment", 0, "Reported positions that contradict the ledger.", orders.reconciliation_breaks, made_of=(orders.reconciliation_breaks,)),
    Family("unreconciled_executions", (), "count", "deployment", 0, "Execution reports that contradict what the ledger knows, or that it cannot count.", orders.unreconciled_executions, made_of=(orders.unreconciled_executions,)),
    Family("refused_executions", (), "count", "deployment", 0, "Order records that were refused: what they say is in no book.", refused.refused_executions, made_of=(refused.refused_executions,)),
    Family("slippage_bps", (), "bps", "active", 0, "What real fills cost against the mid as of their order.", fills.slippage_bps, made_of=(fills.slippage_bps, weighted_mean)),
    Family("slippage_delay_bps", (), "bps", "active", 0, "The part of slippage that the market made before the fill.", fills.slippage_delay_bps, made_of=(fills.slippage_delay_bps,)),
    Family("slippage_spread_bps", (), "bps", "active", 0, "The part of slippage that was paid at the fill.", fills.slippage_spread_bps, made_of=(fills.slippage_spread_bps,)),
    Family("fees_bps", (), "bps", "active", 0, "Fees of real fills on the notional paid.", fills.fees_bps, made_of=(fills.fees_bps, weighted_mean)),
    Family("equity", ("fills", "role"), "money", "book", 0, "Cash plus quantity x mark of a book, all tasks marked at one instant.", None, windowed=False, ticks=True, book=each_book(figures.equity), n_of="one", made_of=(figures.equity,)),
    Family("gross_exposure", ("fills", "role"), "money", "book", 0, "Sum over symbols of |quantity x mark| of a book.", None, windowed=False, ticks=True, book=each_book(figures.gross_exposure), n_of="one", made_of=(figures.gross_exposure,)),
    Family("net_exposure", ("fills", "role"), "money", "book", 0, "Sum over symbols of quantity x mark of a book.", None, windowed=False, ticks=True, book=each_book(figures.net_exposure), n_of="one", made_of=(figures.net_exposure,)),
    Family("pnl", ("fills", "role"), "money", "book", 0, "P&L of a book before fees.", None, ticks=True, book=each_book(figures.pnl), n_of="instants", made_of=(figures.pnl,)),
    Family("pnl_after_costs", ("fills", "role"), "money", "book", 0, "Change of equity since the window began, transfers left out.", None, ticks=True, book=each_book(figures.pnl_after_costs), n_of="instants", made_of=(figures.pnl_after_costs,)),
    Family("drawdown", ("fills", "role"), "fraction", "book", 0, "(high-water mark - E) / high-water mark; E = capital + P&L since the window began.", None, ticks=True, capital=True, book=each_book(figures.drawdown), n_of="instants", made_of=(figures.drawdown, performance.drawdown)),
    Family("sharpe", ("fills", "role"), "annualised ratio", "book", 0, "Annualised Sharpe ratio of a book.", None, book=each_book(figures.sharpe), n_of="returns", made_of=(figures.sharpe, performance.sharpe_ratio, performance.sharpe_error, performance.effective_returns)),
    Family("win_rate", ("fills", "role"), "fraction", "book", 0, "Share of round trips that won, zeros apart.", None, book=each_book(figures.win_rate), made_of=(figures.win_rate,)),
    Family("turnover", ("fills", "role"), "ratio", "book", 0, "Notional traded over the average gross book; a full swap is 2.", None, book=each_book(figures.turnover), n_of="instants", made_of=(figures.turnover, performance.turnover)),
    Family("pnl_vs_benchmark", ("fills", "role"), "money", "book", 0, "P&L of a book less that of buying and holding.", None, capital=True, book=each_book(figures.pnl_vs_benchmark), n_of="instants", made_of=(figures.pnl_vs_benchmark, Benchmark)),
    Family("pnl_divergence", ("role",), "money", "shadow", 0, "P&L of the shadow's paper book minus that of the real one.", None, book=each_shadow(books_apart.pnl_divergence, REAL_BOOK), n_of="instants", made_of=(books_apart.pnl_divergence, performance.difference)),
    Family("pnl_divergence_bps_traded", ("role",), "bps", "shadow", 0, "P&L divergence in bps of the notional that the two books traded.", None, book=each_shadow(books_apart.pnl_divergence_bps_traded, REAL_BOOK), n_of="instants", made_of=(books_apart.pnl_divergence_bps_traded, performance.bps_traded)),
    Family("pnl_divergence_bps_capital", ("role",), "bps", "shadow", 0, "P&L divergence in bps of the capital.", None, capital=True, book=each_shadow(books_apart.pnl_divergence_bps_capital, REAL_BOOK), n_of="instants", made_of=(books_apart.pnl_divergence_bps_capital,)),
    Family("pnl_divergence_z", ("role",), "sigma", "shadow", 0, "P&L divergence in standard errors, by paired returns.", None, book=each_shadow(books_apart.pnl_divergence_z, REAL_BOOK), n_of="returns", made_of=(books_apart.pnl_divergence_z, performance.z_score)),
    Family("pnl_divergence_relative", ("role",), "ratio", "twin", 0, "Gap between paper and real book of one model, by the real P&L.", None, capital=True, book=each_twin(books_apart.pnl_divergence_relative), n_of="returns", made_of=(books_apart.pnl_divergence_relative, performance.relative_divergence)),
    Family("model_effect", ("role",), "money", "shadow", 0, "P&L of the shadow's paper book minus that of the active's.", None, book=each_shadow(books_apart.model_effect, TWIN_BOOK), n_of="instants", made_of=(books_apart.model_effect, performance.difference)),
    Family("model_effect_bps_capital", ("role",), "bps", "shadow", 0, "Model effect in bps of the capital.", None, capital=True, book=each_shadow(books_apart.model_effect_bps_capital, TWIN_BOOK), n_of="instants", made_of=(books_apart.model_effect_bps_capital,)),
    Family("execution_effect", (), "money", "nobody", 0, "P&L of the active's paper book minus that of its real one.", None, book=alone(books_apart.execution_effect), n_of="instants", made_of=(books_apart.execution_effect, performance.difference)),
    Family("position_gap", (), "ratio", "nobody", 0, "How far the active's paper positions are from the real ones.", None, book=alone(books_apart.position_gap), n_of="instants", made_of=(books_apart.position_gap,)),
)  # fmt: skip
"""Every metric there is, in the order of the report."""

BY_NAME = {family.name: family for family in FAMILIES}


class Catalogue:
    """The metrics of one deployment, by name and labels: `metrics` of panes, `books` of books."""

    def __init__(self, scope: Scope) -> None:
        self.metrics = tuple(
            Metric(family, labels, value)
            for family in FAMILIES
            if family.of is not None
            for labels, value in family.of(scope)
        )
        self.sequences = tuple(sequences.sequences(scope))
        self.books = tuple(
            BookMetric(family, series.labels, series.value, series.books, series.applies)
            for family in FAMILIES
            if family.book is not None
            for series in family.book(scope)
        )
        self._by_key = {(m.family.name, m.labels): m for m in self.metrics}
        self._of_books = {(m.family.name, m.labels): m for m in self.books}

    def find_book(self, name: str, labels: Labels) -> BookMetric | None:
        """The metric of books with exactly these labels; None where the deployment has no such metric."""
        return self._of_books.get((name, labels))

    def find(self, name: str, labels: Labels) -> Metric | None:
        """The metric of panes with exactly these labels; None where the deployment has no such metric."""
        return self._by_key.get((name, labels))
