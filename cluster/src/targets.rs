//! The target of each shard: the node that should own it. Every node computes all targets for itself, from the same
//! members.
//!
//! Weighted rendezvous hashing gives every pair of shard and node a score, and the best pairs win, one after another.
//! A node takes part until it has its quota of shards. Without quotas the spread is poor: with 16 nodes and 256 shards
//! the fullest node has 1.5 times its share, with 63 nodes 2.5 times. With them each node has its share, rounded up or
//! down. The price is a few more moves when a node joins or leaves, and a planned move costs a pause of milliseconds:
//!
//! | nodes | moves when one joins | fullest node without quotas |
//! | --- | --- | --- |
//! | 3 | 66 | 1.10 of its share |
//! | 8 | 48 | 1.29 |
//! | 16 | 21 | 1.46 |
//! | 32 | 23 | 1.92 |
//! | 63 | 12 | 2.51 |
//!
//! Only integers are used, so that nodes with different processors agree.

use std::cmp::Reverse;

/// A node that may own shards: alive, not draining, and with the published catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name, which a restart keeps: a node that comes back gets its shards back.
    pub name: &'a str,
    /// How many shards it gets, relative to the weights of the others. Members of weight 0 get none.
    pub weight: u32,
}

/// The member that should own each shard, as an index into `members`; `None` if no member may own any.
///
/// The order of the members does not matter. Their names differ.
pub fn targets(members: &[Member<'_>], shards: u16) -> Option<Vec<usize>> {
    let mut free = quotas(members, shards)?;
    let hashes: Vec<u64> = members.iter().map(|member| hash(member.name)).collect();
    let mut pairs = Vec::with_capacity(members.len() * usize::from(shards));
    for (member, Member { name, weight }) in members.iter().enumerate().filter(|(_, member)| member.weight > 0) {
        for shard in 0..shards {
            // The same shard is hashed anew for each member, so a member's shards are independent of the others'.
            let distance = distance(mix(hashes[member] ^ mix(u64::from(shard) + 1)));
            pairs.push(((u128::from(distance) << 32) / u128::from(*weight), shard, *name, member));
        }
    }
    pairs.sort_unstable();
    let mut targets = vec![None; usize::from(shards)];
    for (_, shard, _, member) in pairs {
        let target = &mut targets[usize::from(shard)];
        if target.is_none() && free[member] > 0 {
            free[member] -= 1;
            *target = Some(member);
        }
    }
    targets.into_iter().collect()
}

/// The number of shards of each member: its share by weight, rounded down, plus one for the largest remainders.
fn quotas(members: &[Member<'_>], shards: u16) -> Option<Vec<u64>> {
    let total: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
    let share = |member: &Member<'_>| u64::from(member.weight) * u64::from(shards);
    let mut quotas = members.iter().map(|member| share(member).checked_div(total)).collect::<Option<Vec<u64>>>()?;
    let rest = u64::from(shards).checked_sub(quotas.iter().sum())?;
    let mut by_remainder: Vec<usize> = (0..members.len()).filter(|member| members[*member].weight > 0).collect();
    by_remainder.sort_unstable_by_key(|member| {
        let Member { name, .. } = members[*member];
        (Reverse(share(&members[*member]) % total), hash(name), name)
    });
    // All remainders together make up the rest, and each is below one shard: there are enough members.
    for member in by_remainder.into_iter().take(usize::try_from(rest).ok()?) {
        quotas[member] += 1;
    }
    (total > 0).then_some(quotas)
}

/// FNV-1a (RFC 9923). Nodes of different versions must agree: never change it.
fn hash(name: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv)
}

/// The finaliser of splitmix64: a change of any bit changes half of the others.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// -log2(bits / 2^64) in units of 2^-32.
///
/// Divided by a weight, the smallest value wins with a probability in proportion to the weight.
fn distance(bits: u64) -> u64 {
    let zeros = bits.leading_zeros().min(63);
    let mut mantissa = u128::from(bits.max(1)) << zeros;
    let mut fraction = 0;
    // Squaring the mantissa, a number from 1 to 2 with 63 binary places, yields one more bit of its logarithm.
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 63;
        let bit = mantissa >> 64;
        mantissa >>= bit;
        fraction = fraction << 1 | bit as u64;
    }
    (u64::from(zeros + 1) << 32) - fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARDS: u16 = 256;

    /// Nodes with names that no other test uses.
    fn nodes(weights: &[u32]) -> Vec<(String, u32)> {
        weights.iter().enumerate().map(|(number, weight)| (format!("node-{number}"), *weight)).collect()
    }

    fn members(nodes: &[(String, u32)]) -> Vec<Member<'_>> {
        nodes.iter().map(|(name, weight)| Member { name, weight: *weight }).collect()
    }

    /// The name of each shard's target.
    fn names(nodes: &[(String, u32)]) -> Vec<String> {
        let targets = targets(&members(nodes), SHARDS).expect("nodes that may own shards");
        targets.into_iter().map(|member| nodes[member].0.clone()).collect()
    }

    /// Checks that every node has its share, rounded up or down.
    fn check_spread(nodes: &[(String, u32)], names: &[String]) {
        let total: u32 = nodes.iter().map(|(_, weight)| weight).sum();
        for (name, weight) in nodes {
            let share = f64::from(SHARDS) * f64::from(*weight) / f64::from(total);
            let owned = names.iter().filter(|owner| *owner == name).count() as f64;
            assert!((owned - share).abs() < 1.0, "{name} has {owned} shards; its share is {share}");
        }
    }

    #[test]
    fn targets_never_change_for_the_same_nodes() {
        let nodes = nodes(&[100, 100, 200]);
        let first: Vec<_> = names(&nodes).into_iter().take(8).collect();
        let known = ["node-2", "node-0", "node-2", "node-0", "node-2", "node-0", "node-2", "node-2"];
        assert_eq!(first, known, "nodes of another version compute other targets");
    }

    #[test]
    fn the_order_of_the_members_does_not_matter() {
        let mut nodes = nodes(&[1, 5, 5, 3, 0, 2]);
        let before = names(&nodes);
        nodes.reverse();
        assert_eq!(names(&nodes), before);
        nodes.swap(1, 3);
        assert_eq!(names(&nodes), before);
    }

    #[test]
    fn without_nodes_there_are_no_targets() {
        assert_eq!(targets(&[], SHARDS), None);
        assert_eq!(targets(&members(&nodes(&[0, 0])), SHARDS), None);
        assert_eq!(targets(&members(&nodes(&[0, 7])), 3), Some(vec![1, 1, 1]));
    }

    #[test]
    fn more_nodes_than_shards_get_one_shard_each_or_none() {
        let nodes = nodes(&[1; 300]);
        check_spread(&nodes, &names(&nodes));
    }

    #[test]
    fn up_to_35_equal_nodes_have_their_share_within_a_tenth() {
        for count in 1..=35 {
            let nodes = nodes(&vec![100; count]);
            let names = names(&nodes);
            for (name, _) in &nodes {
                let owned = names.iter().filter(|owner| *owner == name).count();
                let of_share = (owned * count) as f64 / f64::from(SHARDS);
                assert!((0.9..=1.1).contains(&of_share), "{name} of {count} has {of_share} of its share");
            }
        }
    }

    #[test]
    fn distances_are_logarithms() {
        for bits in [u64::MAX, 1 << 63, 1 << 62, 0x1234_5678_9abc_def0, 1] {
            let expected = 64.0 - (bits as f64).log2();
            let found = distance(bits) as f64 / 2_f64.powi(32);
            assert!((found - expected).abs() < 1e-8, "{bits:x}: {found}, not {expected}");
        }
        assert_eq!(distance(0), distance(1));
    }

    /// A month on paper: from 3 nodes to 64 and back, with deaths and returns in between.
    #[test]
    fn a_month_of_joins_leaves_and_deaths_moves_few_shards() {
        let mut random = 20_261_128_u64;
        let mut draw = |below: u64| {
            random = mix(random.wrapping_add(0x9e37_79b9_7f4a_7c15));
            random % below
        };
        let (mut alive, mut away) = (nodes(&[100, 100, 100]), Vec::<(String, u32)>::new());
        let mut owners = names(&alive);
        let (mut changes, mut moves, mut fewest, mut worst) = (0, 0, 0, 0);
        for hour in 0..24 * 30 {
            // The cluster grows for half a month, and shrinks again. A node that died mostly comes back.
            let wanted = 3 + (61 - (hour - 360_i32).abs() * 61 / 360).max(0) as usize;
            if !away.is_empty() && draw(2) == 0 {
                alive.push(away.swap_remove(0));
            } else if alive.len() < wanted {
                let weight = [50, 100, 100, 200][draw(4) as usize];
                alive.push((format!("joined-{hour}"), weight));
            } else if alive.len() > wanted {
                alive.swap_remove(draw(alive.len() as u64) as usize);
            } else if draw(8) == 0 && alive.len() > 1 {
                away.push(alive.swap_remove(draw(alive.len() as u64) as usize));
            } else {
                continue;
            }
            let now = names(&alive);
            check_spread(&alive, &now);
            let moved = now.iter().zip(&owners).filter(|(now, before)| now != before).count();
            let count = |names: &[String], name: &String| names.iter().filter(|other| *other == name).count();
            // No assignment with the same numbers of shards needs fewer moves.
            let needed: usize =
                alive.iter().map(|(name, _)| count(&now, name).saturating_sub(count(&owners, name))).sum();
            changes += 1;
            moves += moved;
            fewest += needed;
            worst = worst.max(moved - needed);
            owners = now;
        }
        println!("{changes} changes, {moves} moves, at least {fewest} needed; at most {worst} too many in one change");
        assert!(changes > 150, "{changes} changes are no month");
        assert!(10 * moves < 21 * fewest, "{moves} moves, where {fewest} were needed");
        assert!(worst < 32, "one change moved {worst} shards more than needed");
    }
}
