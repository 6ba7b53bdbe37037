//! Metrics that an application of one's own exposes for Prometheus, and which of them become signals of the run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `[subject] metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetricsPlan {
    /// Of each member, with [placeholders](super::PLACEHOLDERS).
    pub url: String,
    /// What is watched, by the name that it has in the history: a [`Selector`] as text.
    pub signals: BTreeMap<String, String>,
}

/// Which time series of a page of metrics are meant: a name, and labels that they have among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    name: String,
    labels: Labels,
}

/// Names and values.
type Labels = Vec<(String, String)>;

impl Selector {
    /// Reads `name` or `name{label="value",…}`. `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, labels, rest) = series(text.trim())?;
        rest.is_empty().then(|| Self { name: name.to_owned(), labels })
    }

    /// The sum of the series meant, in Prometheus' text format or OpenMetrics. `None`: there is none.
    pub fn sum(&self, page: &str) -> Option<f64> {
        let meant = |line: &str| {
            let (name, labels, rest) = series(line.trim())?;
            let fits = name == self.name && self.labels.iter().all(|label| labels.contains(label));
            // After the value a time, or an exemplar, may stand.
            let value = rest.split_whitespace().next().filter(|_| fits)?;
            value.parse::<f64>().ok().filter(|value| value.is_finite())
        };
        page.lines().filter(|line| !line.starts_with('#')).filter_map(meant).reduce(|a, b| a + b)
    }
}

/// A series' name and labels, and what stands behind them.
fn series(text: &str) -> Option<(&str, Labels, &str)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let Some(mut rest) = rest.strip_prefix('{') else { return Some((name, Vec::new(), rest)) };
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((name, labels, behind));
        }
        let (label, quoted) = rest.split_once('=')?;
        let (value, behind) = unquote(quoted.trim_start().strip_prefix('"')?)?;
        labels.push((label.trim().to_owned(), value));
        rest = behind;
    }
}

/// A label's value up to its closing quotation mark, and what stands behind that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PAGE: &str = r#"# HELP retries_total Retries.
# TYPE retries_total counter
retries_total{topic="orders",outcome="ok"} 3 1700000000000
retries_total{topic="orders",outcome="given up"} 2.0
retries_total{topic="bills",note="a \"b\", c=d\\"} 1 # {trace="x"} 7
retries_total_other 9
breaker_state{state="open"} 0
breaker_state{state="closed"} 1
share NaN
temperature -1.5e1
# EOF
"#;

    #[rstest]
    #[case("retries_total", Some(6.0))]
    #[case("retries_total{topic=\"orders\"}", Some(5.0))]
    #[case("retries_total{ outcome = \"given up\", topic=\"orders\" }", Some(2.0))]
    #[case(r#"retries_total{note="a \"b\", c=d\\"}"#, Some(1.0))]
    #[case("retries_total{topic=\"payments\"}", None)]
    #[case("breaker_state{state=\"open\"}", Some(0.0))]
    #[case("temperature", Some(-15.0))]
    #[case("share", None)]
    #[case("retries", None)]
    fn what_is_meant_is_added_up(#[case] selector: &str, #[case] sum: Option<f64>) {
        assert_eq!(Selector::parse(selector).expect("a selector").sum(PAGE), sum);
    }

    #[rstest]
    #[case("")]
    #[case("9lives")]
    #[case("a b")]
    #[case("a{b}")]
    #[case("a{b=c}")]
    #[case("a{b=\"c")]
    #[case("a{b=\"c\"} 1")]
    #[case("sum(a)")]
    fn what_is_no_selector_is_none(#[case] text: &str) {
        assert_eq!(Selector::parse(text), None);
    }

    proptest::proptest! {
        #[test]
        fn no_page_makes_it_panic(page in ".*", selector in "[a-z_]{1,4}(\\{.*\\})?") {
            if let Some(selector) = Selector::parse(&selector) {
                let _ = selector.sum(&page);
            }
        }
    }
}
