//! Variables that look like settings, but are none.

use std::collections::BTreeMap;

use super::setting::Setting;

/// Variables of the program that are no settings.
const OTHERS: [&str; 2] = ["CASTELLAN_CONFIG", "CASTELLAN_PLANTED"];

/// Most letters by which a mistyped name differs from the right one.
const MISTYPED_MAX: usize = 3;

/// A sentence for each variable that nothing reads. Those that Kubernetes sets for a service of that name are left out.
pub(super) fn unknown(environment: &BTreeMap<String, String>, settings: impl Iterator<Item = Setting>) -> Vec<String> {
    let known: Vec<String> = settings.map(|setting| setting.variable()).collect();
    let is_unknown = |name: &&String| {
        name.starts_with("CASTELLAN_")
            && !known.contains(name)
            && !OTHERS.contains(&name.as_str())
            && !is_of_kubernetes(name)
    };
    let sentence = |name: &String| {
        let distance = |other: &&String| strsim::damerau_levenshtein(name, other);
        let nearest = known.iter().min_by_key(distance).filter(|nearest| distance(nearest) <= MISTYPED_MAX);
        let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
        format!("{name} is set, but there is no such setting{hint}")
    };
    environment.keys().filter(is_unknown).map(sentence).collect()
}

/// Source: Kubernetes documentation, "Service", "Environment variables".
fn is_of_kubernetes(name: &str) -> bool {
    let ends = ["_SERVICE_HOST", "_PORT"];
    let parts = ["_SERVICE_PORT", "_PORT_"];
    ends.iter().any(|end| name.ends_with(end)) || parts.iter().any(|part| name.contains(part))
}
