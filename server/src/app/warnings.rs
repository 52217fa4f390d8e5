//! Warns dead nodes before their shards are taken.
//!
//! A node that cannot reach the database goes on, if no other node that it knows can reach it. Another one may have joined
//! since it read for the last time. So whoever finds it dead tells it, and waits until it answers nobody any more.

use std::collections::HashMap;
use std::time::Duration;

use castellan_cluster::membership::EXPIRY;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::storage::{Node, Present, Seen};

/// How long a renewal waits for the answer to a warning. The machine of a node that was killed refuses it at once.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The warnings to nodes that are dead now.
#[derive(Default)]
pub(super) struct Warnings(HashMap<Uuid, Warning>);

/// What became of a warning.
enum Warning {
    /// It is on its way. The result is true if it was heard by a process that may still answer clients.
    UnderWay(JoinHandle<bool>),
    /// It was heard by then, by such a process.
    Answers(Instant),
    /// The process answers no client any more, or no warning, or takes no links.
    Silent,
}

impl Warnings {
    /// Warns those of the dead who were alive before. Returns the dead who answer nobody any more.
    pub(super) async fn silenced(
        &mut self,
        mut dead: Vec<Seen>,
        found: &[Present],
        warn: impl Fn(&Node) -> JoinHandle<bool>,
    ) -> Vec<Seen> {
        self.0.retain(|process, _| dead.iter().any(|dead| dead.process == *process));
        for Seen { process, .. } in &dead {
            let warning = self.0.entry(*process).or_insert_with(|| {
                let node = found.iter().map(|present| &present.node).find(|node| node.process == *process);
                node.filter(|node| node.link.is_some()).map_or(Warning::Silent, |node| Warning::UnderWay(warn(node)))
            });
            if let Warning::UnderWay(way) = warning
                && let Ok(may_answer) = timeout(AT_ONCE, way).await
            {
                *warning = if let Ok(true) = may_answer { Warning::Answers(Instant::now()) } else { Warning::Silent };
            }
        }
        dead.retain(|dead| match self.0[&dead.process] {
            Warning::UnderWay(_) => false,
            Warning::Answers(at) => at.elapsed() >= EXPIRY,
            Warning::Silent => true,
        });
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{InUse, Link, Load, NodeKind};

    fn present(process: u128) -> Present {
        let node = Node {
            process: Uuid::from_u128(process),
            kind: NodeKind::Node,
            name: String::new(),
            address: String::new(),
            link: Some(Link { secret: Vec::new(), oldest: 1, newest: 1 }),
            weight: 0,
            draining: false,
            rules: InUse::default(),
            schema_version: 0,
        };
        Present { node, heartbeat: 7, started_at_ms: 0, age_ms: 0, seen_ago_ms: 0, load: Load::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_may_answer_is_left_in_peace_until_it_answers_nobody() {
        let found = [present(1), present(2)];
        let (answers, refuses) = (found[0].seen(), found[1].seen());
        let warn = |node: &Node| {
            let may_answer = node.process == Uuid::from_u128(1);
            tokio::spawn(async move { may_answer })
        };
        let mut warnings = Warnings::default();
        let both = || vec![answers, refuses];
        assert_eq!(warnings.silenced(both(), &found, warn).await, [refuses]);
        tokio::time::advance(EXPIRY - Duration::from_millis(1)).await;
        assert_eq!(warnings.silenced(both(), &found, warn).await, [refuses]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(warnings.silenced(both(), &found, warn).await, both());
        // It came back, and died again.
        assert_eq!(warnings.silenced(vec![refuses], &found, warn).await, [refuses]);
        assert_eq!(warnings.silenced(both(), &found, warn).await, [refuses]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_warning_without_an_answer_delays_nothing_but_the_take() {
        let found = [present(1)];
        let warn = |_: &Node| tokio::spawn(std::future::pending());
        let began = Instant::now();
        let mut warnings = Warnings::default();
        assert_eq!(warnings.silenced(vec![found[0].seen()], &found, warn).await, []);
        assert_eq!(began.elapsed(), AT_ONCE);
    }
}
