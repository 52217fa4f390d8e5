//! The model as the search sees it: the first state, the possible steps, their results, and the properties.

use stateright::{Model, Property};

use crate::protocol::{Protocol, Quest};
use crate::step::{ClientNo, ServerNo, Step};
use crate::system::{System, VERSIONS_MAX};
use crate::{milestones, promises};

impl Model for Protocol {
    type State = System;
    type Action = Step;

    fn init_states(&self) -> Vec<System> {
        self.scenario.check();
        assert!(self.scenario.versions_max() <= VERSIONS_MAX, "versions must stay within the onlooker's memory");
        let mut system = System::new(self.scenario.faults);
        system.settle(self);
        vec![system]
    }

    fn actions(&self, system: &System, steps: &mut Vec<Step>) {
        self.progress(system, steps);
        if !system.is_finished(self) {
            self.chance(system, steps);
        }
    }

    fn next_state(&self, system: &System, step: Step) -> Option<System> {
        let mut next = *system;
        match step {
            Step::Connect(ClientNo(client), ServerNo(server)) => next.connect(client, server, self),
            Step::Serve(ClientNo(client)) => next.serve(client, self),
            Step::Look(ClientNo(client)) => next.look(client),
            Step::Read(ClientNo(client)) => next.read(client, self),
            Step::Hear(ClientNo(client)) => next.hear(client),
            Step::Disconnect(ClientNo(client)) => next.clients[client].disconnect(&self.rules, &self.scenario),
            Step::Cut(ClientNo(client)) => next.cut(client),
            Step::TimeOut(ClientNo(client), intent) => next.time_out(client, intent),
            Step::BeginFlush(ServerNo(server)) => next.begin_flush(server, self),
            Step::Write(ServerNo(server)) => next.write(server, self),
            Step::Commit(ServerNo(server)) => next.commit(server, self),
            Step::LearnCommit(ServerNo(server)) => next.learn_commit(server),
            Step::LoseCommit(ServerNo(server)) => next.lose_commit(server, self),
            Step::TakeOver(ServerNo(server)) => next.take_over(server, self),
            Step::FinishTakeOver(ServerNo(server)) => next.finish_take_over(server),
            Step::Stop(ServerNo(server)) => next.stop(server),
            Step::Release(ServerNo(server)) => next.release(server, self),
            Step::Kill(ServerNo(server)) => next.kill(server),
            Step::Evict(ServerNo(server)) => next.evict(server),
        }
        next.settle(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        match self.quest {
            Quest::Promises => promises::ALL.iter().map(|(name, holds)| Property::always(name, *holds)).collect(),
            Quest::Milestones => {
                milestones::ALL.iter().map(|(name, is_reached)| Property::sometimes(name, *is_reached)).collect()
            }
        }
    }
}
