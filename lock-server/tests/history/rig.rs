//! Servers as processes, a database, contenders, and somebody who kills.

use std::{sync::Arc, time::Duration};

use service_kit::testing::{PostgresServer, Process, eventually, free_port};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::{
    caller::Server,
    checker::{Told, check},
    contender::{Arena, Story, contend},
    recorder::Recorder,
};

const CONTENDERS: usize = 64;
const RESOURCES: u32 = 8;
const DEADLINE: Duration = Duration::from_secs(30);

/// What happens during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// Servers and, where there is one, the database are killed in turn.
    Kills,
}

/// Everything that a run needs.
pub(crate) struct Rig {
    database: Option<PostgresServer>,
    recorder: Recorder,
    url: String,
    ports: Vec<u16>,
    servers: Vec<Process>,
    _folder: TempDir,
}

impl Rig {
    pub(crate) async fn postgres(servers: usize) -> Self {
        let database = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap();
        let url = database.database().await.url().to_owned();
        let recorder = Recorder::Postgres { url: url.clone() };
        Self::start(Some(database), recorder, url, servers).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks.db").display().to_string();
        let (url, recorder) = (format!("sqlite://{path}"), Recorder::Sqlite { path });
        Self { _folder: folder, ..Self::start(None, recorder, url, 1).await }
    }

    async fn start(
        database: Option<PostgresServer>,
        recorder: Recorder,
        url: String,
        servers: usize,
    ) -> Self {
        let ports: Vec<_> = (0..servers).map(|_| free_port()).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut rig = Self { database, recorder, url, ports, servers: Vec::new(), _folder: folder };
        for server in 0..servers {
            let started = rig.serve(server).await;
            rig.servers.push(started);
        }
        rig.recorder.start().await;
        rig
    }

    /// Starts a server on its port, and again until the database lets it.
    async fn serve(&self, server: usize) -> Process {
        let listen = format!("127.0.0.1:{}", self.ports[server]);
        let args = [
            "--listen",
            &listen,
            "--database-url",
            &self.url,
            "--min-ttl",
            "100ms",
            "--sweep-interval",
            "500ms",
            "--stale-retention",
            "200ms",
            "--store-timeout",
            "2s",
            "--log-level",
            "error",
        ];
        let none: [(&str, &str); 0] = [];
        let program = env!("CARGO_BIN_EXE_lock-server");
        let mut process = Process::start(program, args, none);
        process.wait_for_line(|line| line.contains("listening on"), DEADLINE).await;
        process
    }

    fn callers(&self) -> Vec<Server> {
        let connect = |port: &u16| {
            let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
            Server::new(endpoint.connect_timeout(Duration::from_secs(1)).connect_lazy())
        };
        self.ports.iter().map(connect).collect()
    }

    /// Lets everybody fight for so long, and checks what the database wrote.
    pub(crate) async fn run(mut self, time: Duration, trouble: Trouble) {
        let seed = std::env::var("HISTORY_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("HISTORY_SEED={seed}");
        let arena = Arc::new(Arena {
            servers: self.callers(),
            resources: RESOURCES,
            until: tokio::time::Instant::now() + time,
        });
        let contenders: Vec<_> = (0..CONTENDERS)
            .map(|number| {
                let seed = seed.wrapping_add(number as u64);
                tokio::spawn(contend(Arc::clone(&arena), number, seed))
            })
            .collect();
        if trouble == Trouble::Kills {
            self.kill_in_turn(arena.until).await;
        }
        let mut stories = Vec::new();
        for contender in contenders {
            stories.push(contender.await.unwrap());
        }
        self.judge(stories, seed, time, trouble).await;
    }

    /// Kills a server, the database, the next server …, each in the middle of
    /// its work, and starts it again.
    async fn kill_in_turn(&mut self, until: tokio::time::Instant) {
        let calm = Duration::from_secs(2);
        for round in 0.. {
            // The time between kills is the load, not a wait for something.
            tokio::time::sleep(calm).await;
            if tokio::time::Instant::now() + 2 * calm > until {
                return;
            }
            match &self.database {
                Some(database) if round % 2 == 1 => {
                    tokio::task::block_in_place(|| database.restart());
                }
                _ => {
                    let victim = (round / 2) % self.servers.len();
                    self.servers[victim].kill();
                    self.servers[victim] = self.serve(victim).await;
                }
            }
        }
    }

    async fn judge(self, stories: Vec<Story>, seed: u64, time: Duration, trouble: Trouble) {
        let count = |of: fn(&Story) -> usize| stories.iter().map(of).sum::<usize>();
        let (conflicts, unavailable, lost) =
            (count(|s| s.conflicts), count(|s| s.unavailable), count(|s| s.lost));
        let handed_on = count(|s| s.handed_on);
        let mut told = Told::default();
        for story in stories {
            told.acknowledged.extend(story.told.acknowledged);
            told.releases.extend(story.told.releases);
        }
        let history = eventually("the history can be read", DEADLINE, async || {
            Some(self.recorder.history().await)
        })
        .await;
        println!(
            "{} grants and renewals acknowledged, {} changes recorded, {conflicts} conflicts, \
             {unavailable} calls unavailable, {lost} leases lost, {handed_on} handed on",
            told.acknowledged.len(),
            history.len(),
        );
        let wrong = check(&history, &told);
        assert!(wrong.is_empty(), "seed {seed}: {} problems, first {:#?}", wrong.len(), &wrong[0]);
        let a_second = told.acknowledged.len() as u64 / time.as_secs().max(1);
        assert!(a_second >= 4, "only {a_second} grants and renewals a second: nothing moves");
        assert!(conflicts > 100 && lost > 0, "the contenders did not meet");
        assert!(handed_on > 10, "nobody asked without waiting for the answer before");
        if trouble == Trouble::None {
            assert_eq!(unavailable, 0, "nothing was killed");
        } else {
            assert!(unavailable > 0, "nothing was hit");
        }
    }
}
