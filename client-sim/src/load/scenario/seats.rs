//! Assigns players to groups and parties.

use super::{Conduct, Scenario};

/// The seat of one player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) struct Seat {
    /// Index of the group in the scenario.
    pub(in crate::load) group: usize,
    /// Number of the party. Its members share an account and a character.
    pub(in crate::load) party: u32,
    /// Number within the party, from 0.
    pub(in crate::load) member: u32,
    /// Number of members of the party.
    pub(in crate::load) party_size: u32,
}

impl Seat {
    /// The player's conduct.
    pub(in crate::load) fn conduct(self, scenario: &Scenario) -> &Conduct {
        &scenario.groups[self.group].conduct
    }
}

/// Assigns all players. Each group gets its share; groups are evenly mixed; members of a party are adjacent.
///
/// A group's last party may be smaller. The error names a group without players.
pub(in crate::load) fn seats(scenario: &Scenario, players: u32) -> Result<Vec<Seat>, String> {
    let counts = counts(scenario, players);
    if let Some(group) = counts.iter().position(|count| *count == 0) {
        let group = &scenario.groups[group];
        return Err(format!(
            "group `{}` with share {} of {players} players would be empty; raise --players",
            group.name, group.share
        ));
    }
    let mut parties = Vec::new();
    for (group, count) in counts.into_iter().enumerate() {
        let size = scenario.groups[group].conduct.clients_per_character;
        for begin in (0..count).step_by(size as usize) {
            let position = f64::from(begin) / f64::from(count);
            parties.push((position, group, size.min(count - begin)));
        }
    }
    parties.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    let mut seats = Vec::new();
    for (party, (_, group, party_size)) in (0..).zip(parties) {
        seats.extend((0..party_size).map(|member| Seat { group, party, member, party_size }));
    }
    Ok(seats)
}

/// The number of players of each group: its share rounded down; the rest goes to the groups that lost most by rounding.
fn counts(scenario: &Scenario, players: u32) -> Vec<u32> {
    let sum: f64 = scenario.groups.iter().map(|group| group.share).sum();
    let exact = scenario.groups.iter().map(|group| group.share / sum * f64::from(players));
    let mut counts: Vec<(u32, f64)> = exact.map(|exact| (exact as u32, exact.fract())).collect();
    let left = players.saturating_sub(counts.iter().map(|(count, _)| count).sum());
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by(|left, right| counts[*right].1.total_cmp(&counts[*left].1));
    for group in order.into_iter().cycle().take(left as usize) {
        counts[group].0 += 1;
    }
    counts.into_iter().map(|(count, _)| count).collect()
}
