//! Searches over any model.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateright::{Checker, HasDiscoveries, Model, Path};

/// Most states of a breadth-first search. It keeps all unvisited states, so this bounds its memory to about a gigabyte.
const STATES_MAX: usize = 20_000_000;

/// Most steps of a path: more than any search needs.
pub(crate) const STEPS_MAX: usize = 1_000;

/// Allows one search at a time: each uses two cores and much memory.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A model that can be searched.
pub(crate) trait Search:
    Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq + Send + Sync>
    + Copy
    + Send
    + Sync
    + 'static
{
}

impl<M> Search for M where
    M: Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq + Send + Sync>
        + Copy
        + Send
        + Sync
        + 'static
{
}

/// A discovery with a path to it.
type Way<M> = (&'static str, Path<<M as Model>::State, <M as Model>::Action>);

/// Short paths to these discoveries.
pub(crate) fn ways<M>(model: M, wanted: HasDiscoveries, steps_max: usize) -> Vec<Way<M>>
where
    M: Search,
{
    let search = model.checker().finish_when(wanted).target_state_count(STATES_MAX);
    // The search counts the states of a path and stops before the last.
    let search = search.target_max_depth(steps_max.saturating_add(2)).spawn_bfs().join();
    search.discoveries().into_iter().collect()
}

/// The shortest path to a broken promise.
///
/// A search continues for a while after a discovery and overwrites it. So this asks for ever shorter paths until there
/// is none.
pub(crate) fn shortest<M>(model: M, promise: &'static str) -> Option<Vec<M::Action>>
where
    M: Search,
{
    let mut found: Option<Vec<M::Action>> = None;
    loop {
        let steps_max = found.as_ref().map_or(STEPS_MAX, |steps| steps.len() - 1);
        let mut ways = ways(model, HasDiscoveries::AllOf(BTreeSet::from([promise])), steps_max).into_iter();
        let Some((_, way)) = ways.find(|(broken, _)| *broken == promise) else { return found };
        found = Some(way.into_actions());
    }
}

/// Counts all states, and those from which no progress leads to a goal.
///
/// A state without progress, and a circle that progress cannot leave, are traps: somebody waits for ever.
pub(crate) fn traps<M: Search>(
    model: M,
    progress: impl Fn(&M, &M::State, &mut Vec<M::Action>),
    goal: impl Fn(&M, &M::State) -> bool,
) -> (usize, Vec<M::State>) {
    let mut numbers = HashMap::new();
    // For each state: its predecessors by progress.
    let mut before: Vec<Vec<u32>> = Vec::new();
    let (mut open, mut goals) = (VecDeque::new(), Vec::new());
    let mut number_of = |state: M::State, before: &mut Vec<Vec<u32>>, open: &mut VecDeque<(u32, M::State)>| {
        *numbers.entry(BuildHasherDefault::<DefaultHasher>::default().hash_one(&state)).or_insert_with(|| {
            let number = u32::try_from(before.len()).expect("fewer than four billion states");
            before.push(Vec::new());
            open.push_back((number, state));
            number
        })
    };
    for state in model.init_states() {
        number_of(state, &mut before, &mut open);
    }
    let mut kept = Vec::new();
    while let Some((number, state)) = open.pop_front() {
        if goal(&model, &state) {
            goals.push(number);
        }
        let (mut natural, mut all) = (Vec::new(), Vec::new());
        progress(&model, &state, &mut natural);
        model.actions(&state, &mut all);
        for step in all {
            let is_natural = natural.contains(&step);
            let Some(next) = model.next_state(&state, step) else { continue };
            let next = number_of(next, &mut before, &mut open);
            if is_natural {
                before[next as usize].push(number);
            }
        }
        kept.push(state);
    }
    let mut leads = vec![false; before.len()];
    while let Some(number) = goals.pop() {
        if !std::mem::replace(&mut leads[number as usize], true) {
            goals.extend(&before[number as usize]);
        }
    }
    let trapped = kept.into_iter().zip(leads).filter(|(_, leads)| !leads).map(|(state, _)| state);
    (before.len(), trapped.take(1).collect())
}
