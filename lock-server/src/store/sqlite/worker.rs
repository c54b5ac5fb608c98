//! Threads that own a connection each: SQLite blocks who calls it, and a batch
//! is handed over once, not statement by statement.
//!
//! Work whose caller has gone before its turn is not begun. Work that has begun
//! runs to its end, whoever waits for it. After a failure the connection is
//! given up and the file opened anew: whatever state the failure left is gone.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::store::StoreError;

/// How long a store that is dropped waits for work that has begun. A longer
/// wait goes on in the thread, which keeps the file to itself until then.
const DROP_WAIT: Duration = Duration::from_secs(1);
/// How often it is asked whether a thread has ended.
const POLL: Duration = Duration::from_millis(1);

/// Something to do with a thread's connection.
type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// How to open the file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) writes: bool,
    /// How long to wait for somebody who has locked the file.
    pub(super) timeout: Duration,
}

/// Threads that take jobs from one queue.
#[derive(Debug)]
pub(super) struct Workers {
    /// None once closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Vec<JoinHandle<()>>,
}

/// A thread's connection.
#[derive(Debug)]
pub(super) struct Desk {
    /// None until it is needed, and after a failure.
    pub(super) connection: Option<Connection>,
    /// None in memory, where the connection is all there is: it is kept.
    pub(super) source: Option<Source>,
}

// === impl Source ===

impl Source {
    /// Kibibytes of pages that the writer keeps in memory.
    const WRITER_CACHE: i64 = 16 * 1024;
    /// Statements that a connection keeps prepared: more than there are, but for
    /// those that a list's filters make.
    pub(super) const STATEMENTS: usize = 64;

    /// Opens the file.
    pub(super) fn open(&self) -> rusqlite::Result<Connection> {
        let access = if self.writes {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        } else {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        };
        // A connection is used by its thread alone.
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        // Somebody may look at the file with the sqlite3 shell meanwhile.
        connection.busy_timeout(self.timeout)?;
        connection.set_prepared_statement_cache_capacity(Self::STATEMENTS);
        if self.writes {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "cache_size", -Self::WRITER_CACHE)?;
        }
        Ok(connection)
    }
}

// === impl Workers ===

impl Workers {
    /// Starts a thread for each desk. They keep `only_server` until they end.
    pub(super) fn start(
        name: &str,
        desks: Vec<Desk>,
        only_server: Option<&Arc<File>>,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let start = |desk: Desk| {
            let (queue, only_server) = (Arc::clone(&queue), only_server.cloned());
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                work(desk, &queue);
                drop(only_server);
            })
        };
        let threads = desks.into_iter().map(start).collect::<Result<_, _>>()?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), threads })
    }

    /// Does something with a connection, once it is this caller's turn.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |desk| {
            if !answer.is_closed() {
                // Who has gone meanwhile is not told.
                drop(answer.send(desk.run(work)));
            }
        });
        let sent = self.jobs().as_ref().map(|jobs| jobs.send(job));
        match sent {
            Some(Ok(())) => answered.await.unwrap_or(Err(StoreError::Closed)),
            _ => Err(StoreError::Closed),
        }
    }

    /// Takes no more work, and waits until what there is has been done and the
    /// connections are closed.
    pub(super) async fn close(&self) {
        self.stop();
        while !self.ended() {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes no more work: whether it did until now.
    fn stop(&self) -> bool {
        self.jobs().take().is_some()
    }

    fn ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    fn jobs(&self) -> MutexGuard<'_, Option<mpsc::Sender<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let end = Instant::now() + DROP_WAIT;
        // Who has closed it has waited as long as it wanted to.
        let is_open = self.stop();
        while is_open && !self.ended() && Instant::now() < end {
            thread::sleep(POLL);
        }
    }
}

/// Does what comes, until nothing more can come.
fn work(mut desk: Desk, queue: &Mutex<mpsc::Receiver<Job>>) {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        job(&mut desk);
    }
}

// === impl Desk ===

impl Desk {
    fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut connection = match (self.connection.take(), &self.source) {
            (Some(connection), _) => connection,
            (None, Some(source)) => source.open()?,
            (None, None) => return Err(StoreError::Closed),
        };
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut connection)));
        if matches!(result, Ok(Ok(_))) || self.source.is_none() {
            self.connection = Some(connection);
        }
        match result {
            Ok(result) => Ok(result?),
            Err(_panic) => Err(StoreError::Aborted),
        }
    }
}

#[cfg(test)]
mod tests {
    use service_kit::testing::eventually;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    fn in_memory(only_server: Option<&Arc<File>>) -> Workers {
        let connection = Some(Connection::open_in_memory().unwrap());
        Workers::start("test", vec![Desk { connection, source: None }], only_server).unwrap()
    }

    /// Drops the store of a thread that is stuck: how long that took.
    async fn dropped_when_stuck(close_first: bool) -> Duration {
        let only_server = Arc::new(tempfile::tempfile().unwrap());
        let workers = in_memory(Some(&only_server));
        let (go_on, stuck) = mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let work = move |_: &mut Connection| {
            begin.send(()).unwrap();
            stuck.recv().unwrap();
            Ok(())
        };
        tokio::select! {
            _ = workers.run(work) => panic!("nobody told it to go on"),
            begun = begun => begun.unwrap(),
        }
        if close_first {
            let close = tokio::time::timeout(10 * POLL, workers.close()).await;
            assert!(close.is_err(), "it waits for work that has begun");
        }
        let started = Instant::now();
        drop(workers);
        let took = started.elapsed();
        assert_eq!(Arc::strong_count(&only_server), 2, "the file is still written");
        go_on.send(()).unwrap();
        eventually("the thread ends", DEADLINE, async || {
            (Arc::strong_count(&only_server) == 1).then_some(())
        })
        .await;
        took
    }

    #[tokio::test]
    async fn a_thread_that_is_stuck_keeps_the_file_and_not_the_process() {
        assert!(dropped_when_stuck(true).await < DROP_WAIT, "it has been waited for");
        assert!(dropped_when_stuck(false).await < DEADLINE, "it is not waited for for ever");
    }

    #[tokio::test]
    async fn a_failed_connection_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        drop(Connection::open(&path).unwrap());
        let source = Some(Source { path, writes: true, timeout: DEADLINE });
        let desk = Desk { connection: None, source };
        let workers = Workers::start("test", vec![desk], None).unwrap();
        let make = |db: &mut Connection| db.execute("CREATE TEMP TABLE mine (id integer)", ());
        workers.run(make).await.unwrap();
        let count = |db: &mut Connection| db.execute("DELETE FROM mine", ());
        workers.run(count).await.unwrap();
        let error = workers.run(|db| db.execute("not SQL", ())).await.unwrap_err();
        assert!(matches!(error, StoreError::Sqlite(_)), "{error:?}");
        workers.run(count).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_database_in_memory_outlives_a_failure() {
        let workers = in_memory(None);
        workers.run(|db| db.execute("CREATE TABLE kept (id integer)", ())).await.unwrap();
        let half = |db: &mut Connection| {
            let transaction = db.transaction()?;
            transaction.execute("INSERT INTO kept VALUES (1)", ())?;
            panic!("a test");
        };
        let error = workers.run::<()>(half).await.unwrap_err();
        assert!(matches!(error, StoreError::Aborted), "{error:?}");
        let count = |db: &mut Connection| db.execute("DELETE FROM kept", ());
        assert_eq!(workers.run(count).await.unwrap(), 0, "and what failed is undone");
    }
}
