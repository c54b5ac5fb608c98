//! The connection breaks when a batch has been committed, and before the server
//! heard of it: nobody is told anything else than that, and to ask again is safe.

use lock_server::testing::TestServer;
use proto::lock::v1::{
    self as wire, session_request::Command as Asked, session_response::Outcome as Answered,
};
use service_kit::testing::eventually;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tonic::Code;

use super::{
    limits::assert_overloaded,
    support::{
        DEADLINE, OpenSession, Proxied, acquire, client, failure, lease, lock_of, refusal, release,
        renew,
    },
};

const MANY: usize = 40;

/// Holds up the statements that touch a plan whose id begins with a word, until
/// the lock under the word's number is let go. Not by a lock that is waited
/// for: a batch does not wait for one.
const HOLD_UP: &str = "
    CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE NOT pg_try_advisory_xact_lock_shared(TG_ARGV[0]::int) LOOP
            PERFORM pg_sleep(0.005);
        END LOOP;
        RETURN NEW;
    END $$;
    CREATE TRIGGER first BEFORE INSERT OR UPDATE ON locks FOR EACH ROW
        WHEN (NEW.resource_id LIKE 'first-%') EXECUTE FUNCTION hold_up('1');
    CREATE TRIGGER batch BEFORE INSERT OR UPDATE ON locks FOR EACH ROW
        WHEN (NEW.resource_id LIKE 'batch-%') EXECUTE FUNCTION hold_up('2')";

/// A server whose database does what the test says, when it says so.
struct Stage {
    database: Proxied,
    holder: PgConnection,
    _server: TestServer,
    session: OpenSession,
}

fn name(at: usize) -> String {
    format!("plan/batch-{at:02}")
}

impl Stage {
    async fn set() -> Self {
        let database = Proxied::start().await;
        let most = (MANY + 1).to_string();
        let flags = ["--database-url", &database.url, "--store-timeout", "20s"];
        let one_batch = ["--concurrent-batches", "1", "--max-queue", &most];
        let server = TestServer::start(&[&flags[..], &one_batch].concat()).await;
        let session = OpenSession::open(&client(&server.url())).await;
        let mut holder = PgConnection::connect(&database.direct).await.unwrap();
        sqlx::raw_sql(HOLD_UP).execute(&mut holder).await.unwrap();
        Self { database, holder, _server: server, session }
    }

    async fn sql(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.holder).await.unwrap();
    }

    async fn until_held_up(&mut self) {
        eventually("a statement is held up", DEADLINE, async || {
            let held_up = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
                           AND datname = current_database()";
            let count: i64 = sqlx::query_scalar(held_up).fetch_one(&mut self.holder).await.unwrap();
            (count == 1).then_some(())
        })
        .await;
    }

    /// Carries out these commands as one batch, whose answer is lost: what the
    /// server says to each.
    async fn lose(&mut self, commands: Vec<Asked>) -> Vec<Answered> {
        assert_eq!(commands.len(), MANY);
        self.sql("SELECT pg_advisory_lock(1); SELECT pg_advisory_lock(2)").await;
        // The batch is formed while this one is under way.
        let first = match &commands[0] {
            Asked::Acquire(_) => Asked::Acquire(acquire("plan/first-1", "me")),
            Asked::Release(_) => Asked::Release(release("plan/first-1", "me")),
            _ => Asked::Acquire(acquire("plan/first-2", "me")),
        };
        let first = self.session.send(first).await;
        self.until_held_up().await;
        for command in commands {
            self.session.send(command).await;
        }
        // There is no more room: all of them are in line.
        let outcome = self.session.ask(Asked::Acquire(acquire("plan/full", "me"))).await;
        assert_overloaded(&refusal(&outcome));
        self.sql("SELECT pg_advisory_unlock(1)").await;
        let (id, outcome) = self.session.answer().await;
        assert_eq!(id, first);
        assert!(!matches!(outcome, Answered::Error(_)), "{outcome:?}");
        self.until_held_up().await;
        self.database.proxy.mute().await;
        let before = self.changes().await;
        self.sql("SELECT pg_advisory_unlock(2)").await;
        eventually("the batch is committed", DEADLINE, async || {
            (self.changes().await != before).then_some(())
        })
        .await;
        self.database.proxy.cut().await;
        let answers = self.session.answers(MANY).await;
        self.database.proxy.resume().await;
        eventually("the store is back", DEADLINE, async || {
            let outcome = self.session.ask(Asked::Acquire(acquire("plan/back", "me"))).await;
            matches!(outcome, Answered::Acquire(_)).then_some(())
        })
        .await;
        answers.into_values().collect()
    }

    /// Changes with everything that is committed to the rows of the batch.
    async fn changes(&mut self) -> String {
        let changes = "SELECT coalesce(string_agg(l::text, ' ' ORDER BY resource_id), '')
                       FROM locks l WHERE resource_id LIKE 'batch-%'";
        sqlx::query_scalar(changes).fetch_one(&mut self.holder).await.unwrap()
    }
}

fn assert_unknown(answers: &[Answered]) {
    assert_eq!(answers.len(), MANY);
    for outcome in answers {
        let details = failure(&refusal(outcome), Code::Unavailable, "STORE_UNAVAILABLE");
        assert!(details.retry_info().is_some(), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_whose_commit_is_not_known_each_is_told_so_and_may_ask_again() {
    let mut stage = Stage::set().await;
    let acquires: Vec<_> = (0..MANY).map(|at| Asked::Acquire(acquire(&name(at), "me"))).collect();
    assert_unknown(&stage.lose(acquires.clone()).await);
    let mut held = Vec::new();
    for command in acquires {
        let outcome = stage.session.ask(command).await;
        let Answered::Acquire(wire::AcquireResponse { lock: Some(lock), reentrant: true }) =
            outcome
        else {
            panic!("granted, unheard, and asked for again: {outcome:?}");
        };
        held.push(lock);
    }

    let leases = held.iter().map(lease).collect();
    let renewals: Vec<_> = held.iter().map(|lock| Asked::Renew(renew(lock))).collect();
    assert_unknown(&stage.lose(renewals.clone()).await);
    for (command, lock) in renewals.into_iter().zip(&held) {
        let outcome = stage.session.ask(command).await;
        assert_eq!(lock_of(&outcome).fencing_token, lock.fencing_token);
    }
    let keep = wire::KeepAliveRequest { leases, ttl: None };
    let kept = stage.session.ask(Asked::KeepAlive(keep)).await;
    assert!(matches!(kept, Answered::KeepAlive(_)), "{kept:?}");

    let releases: Vec<_> = (0..MANY).map(|at| Asked::Release(release(&name(at), "me"))).collect();
    assert_unknown(&stage.lose(releases.clone()).await);
    for command in releases {
        let outcome = stage.session.ask(command).await;
        let already = Answered::Release(wire::ReleaseResponse { released: false });
        assert_eq!(outcome, already, "released, unheard, and asked for again");
    }
}
