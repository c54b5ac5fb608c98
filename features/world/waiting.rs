//! Callers who wait in line, each by a call of its own or by a message on the
//! open command stream.

use std::time::Duration;

use proto::lock::v1::{
    self as wire, lock_service_client::LockServiceClient, session_request::Command as Asked,
};
use service_kit::testing::eventually;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{Database, LockWorld, PATIENCE, servers::sqlite_file};
use crate::answer::{Answer, Reply};

/// How long a place may be kept by a server that is gone, and how long it may
/// take to notice: more than the default of `--waiter-grace`.
const LEFT_WITHIN: Duration = Duration::from_secs(25);

/// An acquire that waits.
#[derive(Debug)]
pub(crate) struct Wait {
    owner: String,
    resource: String,
    asked: Asking,
}

#[derive(Debug)]
enum Asking {
    Call(Call),
    Message { id: u64, since: Instant },
}

/// A call under way: cancelled when this is dropped.
#[derive(Debug)]
struct Call(JoinHandle<(Answer, Duration)>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Wait {
    pub(crate) fn is_of(&self, owner: &str, resource: &str) -> bool {
        self.owner == owner && self.resource == resource
    }

    /// Who waits, and for what.
    pub(crate) fn of(&self) -> (String, String) {
        (self.owner.clone(), self.resource.clone())
    }
}

// === asking ===

impl LockWorld {
    /// Has an owner wait: it has asked when this returns, no more. A call ends
    /// after `deadline`.
    pub(crate) async fn ask_in_line(
        &mut self,
        request: wire::AcquireRequest,
        deadline: Option<Duration>,
    ) {
        self.has_waited = true;
        let owner = request.owner_id.clone();
        let resource = request.resource.as_ref().expect("a resource").to_string();
        let since = Instant::now();
        let asked = match &mut self.session {
            Some(session) => {
                let id = session.send(Some(Asked::Acquire(request))).await;
                Asking::Message { id, since }
            }
            None => {
                let mut client = LockServiceClient::new(self.channel());
                let mut request = tonic::Request::new(request);
                if let Some(deadline) = deadline {
                    request.set_timeout(deadline);
                }
                let call = async move {
                    let answer = client.acquire(request).await;
                    let reply = |reply: wire::AcquireResponse| Reply::Acquired {
                        lock: reply.lock.expect("a lock"),
                        reentrant: reply.reentrant,
                    };
                    (answer.map(|answer| reply(answer.into_inner())), since.elapsed())
                };
                Asking::Call(Call(tokio::spawn(call)))
            }
        };
        self.waits.push(Wait { owner, resource, asked });
    }

    /// Whether one of those who wait has its answer.
    pub(crate) fn is_answered(&mut self, at: usize) -> bool {
        match &self.waits[at].asked {
            Asking::Call(call) => call.0.is_finished(),
            Asking::Message { id, .. } => {
                let session = self.session.as_mut().or(self.beside.as_mut());
                session.expect("an open stream").has_answer_to(*id)
            }
        }
    }

    /// Takes out the first wait of an owner for a resource.
    pub(crate) fn take_wait(&mut self, owner: &str, resource: &str) -> Wait {
        let at = self.waits.iter().position(|wait| wait.is_of(owner, resource));
        self.waits.remove(at.unwrap_or_else(|| panic!("{owner} does not wait for {resource}")))
    }

    /// Waits for the answer to an owner who waits, and notes it.
    pub(crate) async fn end_of_wait(&mut self, owner: &str, resource: &str) {
        let mut wait = self.take_wait(owner, resource);
        let answer = match &mut wait.asked {
            Asking::Call(call) => {
                let answer = timeout(PATIENCE, &mut call.0).await;
                let answer = answer.unwrap_or_else(|_| {
                    panic!("{owner} waits for {resource} and is not answered in {PATIENCE:?}")
                });
                let (answer, took) = answer.expect("a call that nobody cancels");
                self.took = took;
                answer
            }
            Asking::Message { id, since } => {
                let session = self.session.as_mut().expect("an open stream");
                let answer = session.answer_to(*id).await;
                self.took = since.elapsed();
                answer
            }
        };
        self.note(answer);
    }

    /// Has everybody ask anew who waits, the last one first.
    pub(crate) async fn ask_again(&mut self, again: impl Fn(&str, &str) -> wire::AcquireRequest) {
        let waits = std::mem::take(&mut self.waits);
        for wait in waits.iter().rev() {
            self.ask_in_line(again(&wait.owner, &wait.resource), None).await;
        }
    }
}

// === the line ===

impl LockWorld {
    /// How many wait for a resource: nobody for what is free.
    pub(crate) async fn queue_length(&mut self, resource: &wire::Resource) -> u64 {
        self.get(resource).await.map_or(0, |lock| lock.queue_length)
    }

    /// Panics unless nobody is in line once all who wait have gone, and no lock
    /// counts any.
    pub(crate) async fn assert_nothing_is_left_in_line(&mut self) {
        self.waits.clear();
        (self.session, self.beside) = (None, None);
        if !self.has_waited || self.servers.is_empty() {
            return;
        }
        eventually("no place is left, and none is counted", LEFT_WITHIN, async || {
            let places = "SELECT count(*) FROM lock_waiters";
            let counted = "SELECT CAST(coalesce(sum(waiters), 0) AS bigint) FROM locks";
            let left = [self.number(places, places).await, self.number(counted, counted).await];
            (left == [0, 0]).then_some(())
        })
        .await;
    }

    /// Whether an owner stands in line for a resource. How many do may stay the
    /// same as one comes: another one may go.
    pub(crate) async fn stands_in_line(&self, owner: &str, resource: &wire::Resource) -> bool {
        let places = format!("SELECT count(*) {}", place(owner, resource));
        self.number(&places, &places).await > 0
    }

    /// For how long, in microseconds, an owner in line wants to hold what it waits
    /// for.
    pub(crate) async fn wanted_time(&self, owner: &str, resource: &wire::Resource) -> i64 {
        let of = place(owner, resource);
        self.number(
            &format!("SELECT ttl {of}"),
            &format!("SELECT (extract(epoch FROM ttl) * 1000000)::bigint {of}"),
        )
        .await
    }

    /// A number from the database, whatever the servers say: by one of two
    /// statements that mean the same.
    async fn number(&self, sqlite: &str, postgres: &str) -> i64 {
        match self.database.as_ref().expect("a database") {
            Database::File(folder) => {
                let url = format!("sqlite://{}", sqlite_file(folder).display());
                let mut file = SqliteConnection::connect(&url).await.expect("open the database");
                let sql = sqlx::query_scalar(AssertSqlSafe(sqlite.to_owned()));
                sql.fetch_one(&mut file).await.expect("a number")
            }
            Database::Shared(database) | Database::Own(_, database) => {
                let mut server = PgConnection::connect(database.url()).await.expect("connect");
                let sql = sqlx::query_scalar(AssertSqlSafe(postgres.to_owned()));
                sql.fetch_one(&mut server).await.expect("a number")
            }
        }
    }
}

/// Where an owner's place in line stands. Names in features need no quotes.
fn place(owner: &str, resource: &wire::Resource) -> String {
    let wire::Resource { r#type, id } = resource;
    format!(
        "FROM lock_waiters
         WHERE owner_id = '{owner}' AND resource_type = '{type}' AND resource_id = '{id}'"
    )
}
