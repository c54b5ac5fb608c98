//! What a scenario has around it: servers, their database, callers, and the
//! last answer.

mod callers;
pub(crate) mod plans;
mod servers;
mod session;
mod waiting;
mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use lock_server::testing::TestServer;
use proto::lock::v1 as wire;
use service_kit::testing::{PostgresServer, TestDatabase};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tonic::{Status, Streaming, transport::Channel};
use tonic_health::pb::HealthCheckResponse;

pub(crate) use self::{session::Session, waiting::Wait, watch::Watch};
use crate::answer::{Answer, Refusal, Reply, shown};

/// No answer takes as long, whatever happens: a call without one hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long anything may take that happens by itself.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Where the locks of a run are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

/// The database of a scenario.
#[derive(Debug)]
enum Database {
    File(TempDir),
    Shared(TestDatabase),
    Own(Arc<PostgresServer>, TestDatabase),
}

/// A running server and a connection to it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) server: TestServer,
    pub(crate) channel: Channel,
}

/// An open stream of keep-alives.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    pub(crate) requests: mpsc::Sender<wire::KeepAliveRequest>,
    pub(crate) responses: Streaming<wire::KeepAliveResponse>,
}

/// The state of one scenario.
#[derive(Debug, Default, cucumber::World)]
pub(crate) struct LockWorld {
    store: Option<Store>,
    servers: BTreeMap<String, Running>,
    flags: HashMap<String, Vec<String>>,
    current: String,
    answer: Option<Answer>,
    /// How long the last request took.
    pub(crate) took: Duration,
    /// Every lock that an answer told of, by resource, as they came.
    seen: HashMap<String, Vec<wire::Lock>>,
    /// The tokens of all grants, by resource, as they came.
    grants: HashMap<String, Vec<u64>>,
    /// The token of each owner's last grant, by owner and resource.
    tokens: HashMap<(String, String), u64>,
    /// The answers of those who asked at the same moment.
    pub(crate) race: Vec<Answer>,
    /// What asks for the next page of the last list.
    pub(crate) page_token: String,
    /// The pages of a list, as `plan/1, plan/2`.
    pub(crate) pages: Vec<String>,
    pub(crate) keep_alive: Option<KeepAlive>,
    /// Where callers send their commands, when they do not call.
    pub(crate) session: Option<Session>,
    /// A command stream that is open beside the calls.
    pub(crate) beside: Option<Session>,
    /// Those who wait in line, as they came.
    pub(crate) waits: Vec<Wait>,
    /// Somebody has waited: nothing of it may be left.
    has_waited: bool,
    pub(crate) watch: Option<Watch>,
    pub(crate) other_watch: Option<Watch>,
    /// The lock that a watch told of last.
    pub(crate) watched: Option<wire::Lock>,
    pub(crate) health: Option<Streaming<HealthCheckResponse>>,
    /// The services that reflection told of, or why a server did not start.
    pub(crate) told: Vec<String>,
    // After the servers, so that it is there as long as they are.
    database: Option<Database>,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "Postgres",
        })
    }
}

impl Store {
    /// The tag of what runs on this store only.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// The one that it is not.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Sqlite => Self::Postgres,
            Self::Postgres => Self::Sqlite,
        }
    }
}

// === answers ===

impl LockWorld {
    /// Notes an answer, for the steps that look at it.
    pub(crate) fn note(&mut self, answer: Answer) {
        if let Some(lock) = answer.as_ref().ok().and_then(Reply::lock) {
            let resource = name_of(lock);
            if let Ok(Reply::Acquired { reentrant, .. }) = answer {
                let holder = (lock.owner_id.clone(), resource.clone());
                self.tokens.insert(holder, lock.fencing_token);
                if !reentrant {
                    self.grants.entry(resource.clone()).or_default().push(lock.fencing_token);
                }
            }
            self.seen.entry(resource).or_default().push(lock.clone());
        }
        if let Ok(reply @ (Reply::Listed(_) | Reply::Stale(_) | Reply::Events(_))) = &answer {
            self.page_token = reply.next_page_token().to_owned();
        }
        self.answer = Some(answer);
    }

    /// The last answer, which must be no refusal.
    pub(crate) fn reply(&self) -> &Reply {
        let answer = self.answer.as_ref().expect("there was a request");
        answer.as_ref().unwrap_or_else(|status| panic!("refused: {}", shown(status)))
    }

    /// The last answer, which must be an error.
    pub(crate) fn status(&self) -> &Status {
        let answer = self.answer.as_ref().expect("there was a request");
        answer.as_ref().expect_err("the request is refused")
    }

    /// The last answer, which must be a refusal of the lock service.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::of(self.status())
    }

    /// The lock in the last answer.
    pub(crate) fn lock(&self) -> &wire::Lock {
        let reply = self.reply();
        reply.lock().unwrap_or_else(|| panic!("no lock: {reply:?}"))
    }

    /// The lock in the last answer, and the same resource's in the one before.
    pub(crate) fn lock_and_before(&self) -> (&wire::Lock, &wire::Lock) {
        match self.seen(&name_of(self.lock())) {
            [.., before, lock] => (lock, before),
            _ => panic!("there was no lock before"),
        }
    }

    /// All that answers told of a resource's lock.
    pub(crate) fn seen(&self, resource: &str) -> &[wire::Lock] {
        self.seen.get(resource).map(Vec::as_slice).unwrap_or_default()
    }

    /// The tokens of all grants of a resource.
    pub(crate) fn grants(&self, resource: &str) -> &[u64] {
        self.grants.get(resource).map(Vec::as_slice).unwrap_or_default()
    }

    /// The token of an owner's last grant; 1, which is nobody's, when there
    /// was none.
    pub(crate) fn token(&self, owner: &str, resource: &wire::Resource) -> u64 {
        let holder = (owner.to_owned(), resource.to_string());
        self.tokens.get(&holder).copied().unwrap_or(1)
    }
}

/// The resource of a lock as `type/id`.
pub(crate) fn name_of(lock: &wire::Lock) -> String {
    lock.resource.as_ref().expect("a resource").to_string()
}
