//! A Postgres of its own, three server processes, sixteen owners.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use service_kit::testing::{PostgresServer, free_port};
use tonic::transport::Endpoint;

use super::{
    checker::{Call, End, Entry, Micros, Told, What, check},
    clock::Clock,
    contender::{Arena, Contender},
    recorder,
    trouble::{self, Trouble},
};
use crate::support::{Locks, Queue, Serving};

const SERVERS: usize = 3;
const OWNERS: usize = 16;

/// For how long the servers keep the places of one that is not heard of.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// How long a run may take at most, for each thousand grants.
const FOR_A_THOUSAND: Duration = Duration::from_secs(120);

/// Everything that a run needs.
pub(crate) struct Rig {
    url: String,
    ports: Vec<u16>,
    pub(crate) servers: Vec<Serving>,
    _database: PostgresServer,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        // It is not killed here, and so need not wait for the disk.
        let start = || PostgresServer::start_with(&[("fsync", "off")]);
        let database = tokio::task::spawn_blocking(start).await.unwrap();
        let url = database.database().await.url().to_owned();
        let ports: Vec<_> = (0..SERVERS).map(|_| free_port()).collect();
        let mut rig = Self { url, ports, servers: Vec::new(), _database: database };
        for server in 0..SERVERS {
            let started = rig.serve(server).await;
            rig.servers.push(started);
        }
        recorder::start(&rig.url).await;
        rig
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn serve(&self, server: usize) -> Serving {
        let listen = format!("127.0.0.1:{}", self.ports[server]);
        let grace = format!("{}s", GRACE.as_secs());
        let flags = [
            ["--listen", listen.as_str()],
            ["--database-url", &self.url],
            ["--waiter-grace", &grace],
            ["--min-ttl", "100ms"],
            ["--sweep-interval", "500ms"],
            ["--stale-retention", "200ms"],
            ["--store-timeout", "2s"],
            ["--log-level", "warn"],
        ];
        Serving::start(flags.as_flattened()).await
    }

    pub(crate) async fn start_again(&mut self, server: usize) {
        self.servers[server] = self.serve(server).await;
    }

    /// Clients on connections of their own. Every other owner pings its servers,
    /// and so notices one that stands still.
    fn clients(&self, owner: usize) -> Vec<Locks> {
        let connect = |port: &u16| {
            let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
            let mut endpoint = endpoint.connect_timeout(Duration::from_secs(1));
            if owner.is_multiple_of(2) {
                let ping = Duration::from_millis(500);
                endpoint = endpoint.http2_keep_alive_interval(ping).keep_alive_timeout(ping);
            }
            Locks::new(endpoint.connect_lazy())
        };
        self.ports.iter().map(connect).collect()
    }

    /// Lets everybody wait until there were so many grants, and checks what the
    /// database and the owners wrote down.
    pub(crate) async fn run(mut self, seed: u64, wanted: usize) {
        let began = Instant::now();
        let clock = Clock::of(&self.url).await;
        let (grants, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
        let arena = Arc::new(Arena { clock, grants, enough });
        let owners: Vec<_> = (0..OWNERS)
            .map(|number| {
                let seed = seed.wrapping_add(1 + number as u64);
                tokio::spawn(Contender::new(&arena, number, self.clients(number), seed).run())
            })
            .collect();
        let most = FOR_A_THOUSAND * u32::try_from(wanted / 1_000 + 1).unwrap();
        let granted = || arena.grants.load(Ordering::Relaxed);
        let is_enough = || granted() >= wanted || began.elapsed() > most;
        let mut random = fastrand::Rng::with_seed(seed);
        let (happened, outages) = trouble::make(&mut self, &mut random, clock, is_enough).await;
        arena.enough.store(true, Ordering::Relaxed);
        let mut told = Told { outages, ..Told::default() };
        for owner in owners {
            let more = owner.await.unwrap();
            told.calls.extend(more.calls);
            told.endings.extend(more.endings);
        }
        let took = began.elapsed();
        assert!(granted() >= wanted, "seed {seed}: {} grants in {took:?}, {happened:?}", granted());
        // What servers that are gone have left behind goes after the grace.
        let queue = Queue::of(&self.url);
        queue.assert_empty_within(GRACE + Duration::from_secs(5)).await;
        let history = recorder::history(&self.url).await;
        println!("{took:?}, {} entries, {}", history.len(), summary(&told, &history));
        println!("{happened:?}");
        judge(seed, &history, &told, &happened);
    }
}

fn judge(seed: u64, history: &[Entry], told: &Told, happened: &[Trouble]) {
    let wrong = check(history, told);
    if !wrong.is_empty() {
        let file = format!("{}/waiting-{seed}.txt", env!("CARGO_TARGET_TMPDIR"));
        let mut text = wrong.join("\n");
        for entry in history {
            write!(text, "\n{entry:?}").unwrap();
        }
        for call in &told.calls {
            write!(text, "\n{call:?}").unwrap();
        }
        for ending in &told.endings {
            write!(text, "\n{ending:?}").unwrap();
        }
        std::fs::write(&file, text).unwrap();
        let first = wrong.iter().take(10).collect::<Vec<_>>();
        panic!("seed {seed}: {} problems, see {file}: {first:#?}", wrong.len());
    }
    let ended = |end: End| told.calls.iter().filter(|call| call.end == end).count();
    for end in [End::Conflict, End::Cancelled, End::GaveUp, End::Failed] {
        assert!(ended(end) > 0, "no call ended so: {end:?}; {happened:?}");
    }
}

/// How calls ended, and how long after its grant each that had waited heard.
fn summary(told: &Told, history: &[Entry]) -> String {
    let ended = |end: End| told.calls.iter().filter(|call| call.end == end).count();
    let grants = history.iter().filter_map(|entry| match &entry.what {
        What::Lock(row) => Some((row.token, row.acquired_at)),
        _ => None,
    });
    let granted_at: HashMap<i64, Micros> = grants.collect();
    let heard_after = |call: &Call| match call.end {
        End::Granted { token, reentrant: false, .. } => {
            Some(call.ended_at - granted_at.get(&token)?)
        }
        _ => None,
    };
    let mut heard: Vec<Micros> = told.calls.iter().filter_map(heard_after).collect();
    heard.sort_unstable();
    let at = |share: f64| heard[((heard.len() - 1) as f64 * share) as usize];
    format!(
        "{} granted, heard after {} µs (p50), {} µs (p99), {} µs (last); {} conflicts, \
         {} cancelled, {} given up, {} failed, {} endings",
        heard.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        ended(End::Conflict),
        ended(End::Cancelled),
        ended(End::GaveUp),
        ended(End::Failed),
        told.endings.len(),
    )
}
