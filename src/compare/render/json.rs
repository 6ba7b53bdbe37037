//! The contract for machines, schema version 1: fields are added, never changed.

use serde_json::{Value, json as object};

use super::super::Comparison;
use super::super::metric::Unit;
use super::super::row::{BudgetTally, Row};
use super::super::sample::Sample;

/// The comparison as `compare --format json` prints it. JSON has no infinity: what never came is `null` among the
/// samples (and counted in `never`), and an end of an interval that is infinite is `null`, minus in the first place, plus
/// in the second; `text` has it in words.
pub fn json(comparison: &Comparison) -> Value {
    object!({
        "schema_version": 1,
        "base": comparison.base,
        "new": comparison.new,
        "comparable": comparison.comparable,
        "rows": comparison.rows.iter().map(row).collect::<Vec<_>>(),
        "verdict": comparison.verdict.name(),
        "regressed": comparison.regressed(),
        "notes": comparison.notes,
    })
}

fn row(row: &Row) -> Value {
    let decision = &row.decision;
    object!({
        "scenario": row.scenario,
        "metric": row.metric.name,
        "unit": match row.metric.unit { Unit::Seconds => "seconds", Unit::Records => "records" },
        "base": sample(&row.base),
        "new": sample(&row.new),
        "shift": number(decision.shift),
        "interval": decision.interval.map_or(Vec::new(), |(low, high)| vec![number(Some(low)), number(Some(high))]),
        "p": decision.p,
        "p_adjusted": row.adjusted,
        "exact": decision.exact,
        "band": number(Some(decision.band)),
        "verdict": decision.verdict.name(),
        "clear": decision.clear,
        "gated": row.gated,
        "repeats_needed": decision.repeats,
        "budget": budget(row.budget),
        "base_budget": budget(row.base_budget),
        "note": row.note,
        "text": super::cells::shift(row),
    })
}

fn sample(sample: &Sample) -> Value {
    object!({
        "n": sample.n(),
        "median": number(sample.median()),
        "min": number(sample.min()),
        "max": number(sample.max()),
        "samples": sample.values.iter().map(|value| number(Some(*value))).collect::<Vec<_>>(),
        "median_interval": sample.median_interval()
            .map_or(Vec::new(), |(low, high)| vec![number(Some(low)), number(Some(high))]),
        "never": sample.never(),
        "waited": number(sample.waited),
        "missing": sample.missing,
        "left_out": sample.left_out,
    })
}

fn budget(tally: Option<BudgetTally>) -> Value {
    tally.map_or(Value::Null, |tally| object!({ "limit": tally.limit, "met": tally.met, "of": tally.of }))
}

/// Nanoseconds are what was measured: what comes after them is the arithmetic of floating point.
fn number(value: Option<f64>) -> Value {
    match value {
        Some(value) if value.is_finite() => object!((value * 1e9).round() / 1e9),
        _ => Value::Null,
    }
}
