//! What a scenario of plans has around it: a lock server, plan services,
//! projects in git, a folder for what steps leave behind, and the last answer.

mod action;
mod calls;
mod left;
mod locks;
mod project;
mod reader;
mod refusal;
mod scratch;
mod services;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use proto::plan::v1 as wire;
use service_kit::testing::TestDatabase;
use tokio::task::JoinHandle;
use tonic::Status;

pub(crate) use self::{
    action::{from_table, from_toml, script_step},
    calls::{ask_for, phase, state, verb},
    locks::{LockSide, of_plan, wait_of},
    project::{Project, git, git_with},
    reader::Readers,
    refusal::Refusal,
    scratch::Scratch,
    services::supervise,
    watch::Watch,
};
use self::{project::Snapshot, services::Instance};
use super::Store;
use crate::answer::shown;

/// No call takes as long, whatever happens.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How long anything may take that happens by itself.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The only instance of most scenarios.
pub(crate) const THE_SERVICE: &str = "the service";

/// What is answered to a call: a plan, where the answer has one.
pub(crate) type Answer = Result<Option<wire::Plan>, Status>;

/// Plans by the projects that they are on.
pub(crate) type Many = Vec<(String, String)>;

/// What a plan has written, to see later whether more has come.
#[derive(Debug, PartialEq)]
pub(crate) struct Written {
    plan: wire::Plan,
    changesets: Vec<wire::Changeset>,
    events: Vec<wire::PlanEvent>,
    tails: Vec<wire::StepTail>,
    left: BTreeMap<String, Vec<u8>>,
    project: Snapshot,
    refs: String,
}

/// The state of one scenario. What is started is dropped before what it needs.
#[derive(Debug, cucumber::World)]
#[world(init = Self::new)]
pub(crate) struct PlanWorld {
    store: Option<Store>,
    instances: BTreeMap<String, Instance>,
    /// The flags of each instance, for when it starts again.
    flags: HashMap<String, Vec<String>>,
    current: String,
    /// Those that were killed or paused: their folders may hold what they left.
    pub(crate) unclean: BTreeSet<String>,
    pub(crate) locks: Option<LockSide>,
    pub(crate) projects: BTreeMap<String, Project>,
    /// The plan that was made last, and those that have a name.
    plan: String,
    plans: BTreeMap<String, String>,
    /// The plans of those scenarios that have many.
    pub(crate) many: Many,
    pub(crate) answer: Option<Answer>,
    /// The answers of those who asked at the same moment, or one after another.
    pub(crate) race: Vec<(String, Answer)>,
    /// Somebody whose answer has not come yet.
    pub(crate) asking: Option<JoinHandle<Answer>>,
    /// Those who have asked for a diff.
    pub(crate) diffs: Vec<JoinHandle<Result<wire::GetDiffResponse, Status>>>,
    pub(crate) readers: Option<Readers>,
    pub(crate) watch: Option<Watch>,
    pub(crate) written: Option<Written>,
    database: Option<TestDatabase>,
    pub(crate) scratch: Scratch,
}

impl PlanWorld {
    fn new() -> Self {
        Self {
            store: None,
            instances: BTreeMap::new(),
            flags: HashMap::new(),
            current: String::new(),
            unclean: BTreeSet::new(),
            locks: None,
            projects: BTreeMap::new(),
            plan: String::new(),
            plans: BTreeMap::new(),
            many: Vec::new(),
            answer: None,
            race: Vec::new(),
            asking: None,
            diffs: Vec::new(),
            readers: None,
            watch: None,
            written: None,
            database: None,
            scratch: Scratch::new(),
        }
    }

    /// Says where the scenario's servers keep what they have.
    pub(crate) fn use_store(&mut self, store: Store) {
        self.store = Some(store);
    }

    /// Remembers a plan as the one that was made last, and by its name.
    pub(crate) fn name_plan(&mut self, name: &str, id: &str) {
        id.clone_into(&mut self.plan);
        self.plans.insert(name.to_owned(), id.to_owned());
    }

    /// The id of "the plan", or of "plan A".
    pub(crate) fn plan_id(&self, name: &str) -> String {
        if name == "the plan" {
            assert!(!self.plan.is_empty(), "no plan was made");
            return self.plan.clone();
        }
        self.plans.get(name).unwrap_or_else(|| panic!("no {name}")).clone()
    }

    /// The id of the plan that was made last, if there is one.
    pub(crate) fn last_plan(&self) -> Option<&str> {
        (!self.plan.is_empty()).then_some(self.plan.as_str())
    }

    /// The names of the plans with these ids.
    pub(crate) fn names_of(&self, plans: &[wire::Plan]) -> String {
        let name = |plan: &wire::Plan| {
            let found = self.plans.iter().find(|(_, id)| **id == plan.plan_id);
            let (name, _) = found.unwrap_or_else(|| panic!("an unknown plan {}", plan.plan_id));
            name.trim_start_matches("plan ").to_owned()
        };
        plans.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn project(&self, name: &str) -> &Project {
        self.projects.get(name).unwrap_or_else(|| panic!("no project {name}"))
    }

    pub(crate) fn project_mut(&mut self, name: &str) -> &mut Project {
        self.projects.get_mut(name).unwrap_or_else(|| panic!("no project {name}"))
    }

    pub(crate) fn locks(&self) -> &LockSide {
        self.locks.as_ref().expect("a lock server")
    }

    /// The last answer, which must be no refusal.
    pub(crate) fn answered_plan(&self) -> &wire::Plan {
        match self.answer.as_ref().expect("there was a call") {
            Ok(plan) => plan.as_ref().expect("an answer with a plan"),
            Err(status) => panic!("refused: {}", shown(status)),
        }
    }

    /// The last answer, which must be an error.
    pub(crate) fn status(&self) -> &Status {
        let answer = self.answer.as_ref().expect("there was a call");
        answer.as_ref().expect_err("the call is refused")
    }

    /// The last answer, which must be a refusal of the plan service.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::of(self.status())
    }

    /// Whatever must hold when a scenario has passed.
    pub(crate) async fn assert_nothing_is_left(&mut self) {
        left::assert_nothing_is_left(self).await;
    }
}
