//! What a person reads of the violations of one run.

use crate::check::{Standing, Violation};

/// Violations of the data that are printed in each part of the report; the others are counted.
const SHOWN_MAX: usize = 12;

/// The lines of the report: crashes, what broke the run off, what is certain, what may follow from the end of the run.
pub fn lines(violations: &[Violation]) -> Vec<String> {
    let of = |standing| violations.iter().filter(move |violation| violation.standing == standing);
    let mut lines: Vec<String> = of(Standing::Crashed).map(|violation| inset(&violation.to_string())).collect();
    let broke_off: Vec<&Violation> = of(Standing::BrokeOff).collect();
    lines.extend(broke_off.iter().map(|violation| inset(&format!("broke the run off: {}", violation.what))));
    let certain = "found although the run was broken off:";
    let parts = [(Standing::Certain, certain), (Standing::MayFollow, "may follow from that:")];
    for (standing, heading) in parts {
        let rest: Vec<&Violation> = of(standing).collect();
        if !rest.is_empty() && !broke_off.is_empty() {
            lines.push(heading.to_owned());
        }
        lines.extend(rest.iter().take(SHOWN_MAX).map(|violation| format!("  {}", inset(&violation.to_string()))));
        if rest.len() > SHOWN_MAX {
            lines.push(format!("  and {} more", rest.len() - SHOWN_MAX));
        }
    }
    lines
}

/// Lines after the first, such as the end of a log, are set off from what follows them.
fn inset(text: &str) -> String {
    text.trim_end().replace('\n', "\n    | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Rule;

    fn violation(standing: Standing, rule: Rule, what: impl ToString) -> Violation {
        Violation { rule, standing, what: what.to_string() }
    }

    #[test]
    fn crashes_come_first_and_all_of_them() {
        let mut violations: Vec<_> = (0..13).map(|n| violation(Standing::Certain, Rule::Lost, n)).collect();
        violations.extend((0..20).map(|n| Violation::crashed(format!("panic {n}"))));
        let lines = lines(&violations);
        assert_eq!(lines[0], "Process: panic 0");
        assert_eq!(lines[19], "Process: panic 19");
        assert_eq!(lines[20], "  Lost: 0");
        assert_eq!(lines[31..], ["  Lost: 11", "  and 1 more"]);
    }

    #[test]
    fn what_broke_the_run_off_is_told_from_what_may_follow() {
        let violations = [
            violation(Standing::MayFollow, Rule::Stuck, "it broke off"),
            violation(Standing::Certain, Rule::Twice, "done twice"),
            Violation::broke_off("kill: no server comes up:\nno route\n".to_owned()),
            Violation::crashed("panicked at a.rs".to_owned()),
        ];
        let expected = [
            "Process: panicked at a.rs",
            "broke the run off: kill: no server comes up:\n    | no route",
            "found although the run was broken off:",
            "  Twice: done twice",
            "may follow from that:",
            "  Stuck: it broke off",
        ];
        assert_eq!(lines(&violations), expected);
        assert_eq!(lines(&[]), Vec::<String>::new());
    }
}
