//! The findings of one run, for people.

use crate::check::{Finding, Standing};

/// Findings printed in each part of the report; the rest are counted.
const SHOWN_MAX: usize = 12;

/// The lines of the report: crashes, the reason for an early end, certain findings, and findings that may follow from
/// the early end.
pub fn lines(findings: &[Finding]) -> Vec<String> {
    let of = |standing| findings.iter().filter(move |finding| finding.standing == standing);
    let mut lines: Vec<String> = of(Standing::Crashed).map(|finding| inset(&finding.to_string())).collect();
    let broke_off: Vec<&Finding> = of(Standing::BrokeOff).collect();
    lines.extend(broke_off.iter().map(|finding| inset(&format!("ended the run early: {}", finding.what))));
    let certain = "certain, although the run ended early:";
    let parts = [(Standing::Certain, certain), (Standing::MayFollow, "possibly only a result of the early end:")];
    for (standing, heading) in parts {
        let rest: Vec<&Finding> = of(standing).collect();
        if !rest.is_empty() && !broke_off.is_empty() {
            lines.push(heading.to_owned());
        }
        lines.extend(rest.iter().take(SHOWN_MAX).map(|finding| format!("  {}", inset(&finding.to_string()))));
        if rest.len() > SHOWN_MAX {
            lines.push(format!("  and {} more", rest.len() - SHOWN_MAX));
        }
    }
    lines
}

/// Indents all lines after the first, such as the end of a log.
fn inset(text: &str) -> String {
    text.trim_end().replace('\n', "\n    | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Rule;

    fn finding(standing: Standing, rule: Rule, what: impl ToString) -> Finding {
        Finding { rule, standing, what: what.to_string() }
    }

    #[test]
    fn all_crashes_are_printed_first() {
        let mut findings: Vec<_> = (0..13).map(|n| finding(Standing::Certain, Rule::Lost, n)).collect();
        findings.extend((0..20).map(|n| Finding::crashed(format!("panic {n}"))));
        let lines = lines(&findings);
        assert_eq!(lines[0], "Process: panic 0");
        assert_eq!(lines[19], "Process: panic 19");
        assert_eq!(lines[20], "  Lost: 0");
        assert_eq!(lines[31..], ["  Lost: 11", "  and 1 more"]);
    }

    #[test]
    fn the_reason_for_an_early_end_stands_apart_from_findings_that_may_follow() {
        let findings = [
            finding(Standing::MayFollow, Rule::Stuck, "it stopped early"),
            finding(Standing::Certain, Rule::Twice, "done twice"),
            Finding::broke_off("kill: no server comes up:\nno route\n".to_owned()),
            Finding::crashed("panicked at a.rs".to_owned()),
        ];
        let expected = [
            "Process: panicked at a.rs",
            "ended the run early: kill: no server comes up:\n    | no route",
            "certain, although the run ended early:",
            "  Twice: done twice",
            "possibly only a result of the early end:",
            "  Stuck: it stopped early",
        ];
        assert_eq!(lines(&findings), expected);
        assert_eq!(lines(&[]), Vec::<String>::new());
    }
}
