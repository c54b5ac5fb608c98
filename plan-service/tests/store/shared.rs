//! Several instances on one database.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::future::join_all;
use plan_service::{
    domain::{Moment, Plan},
    store::{Fenced, OutputTail, PlanWrite, SharedStore, StoreError, open},
};
use service_kit::{database::DatabaseUrl, testing::Process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::kit::{All, Kit, action_name, change, fence, key, name, open_at, options, template};

/// Runs one kind of writer after the other, each under a token of its own: what
/// was written, as (version, token), in the order of the writer.
async fn race(store: &SharedStore, plan: &Plan, tokens: &AtomicU64) -> Vec<(u64, u64)> {
    let mut written = Vec::new();
    for round in 0..60_u32 {
        let token = tokens.fetch_add(1, Ordering::Relaxed);
        // Others may come in between.
        for _ in 0..round % 5 {
            tokio::task::yield_now().await;
        }
        let at = fence(plan, token);
        let mut mine = plan.clone();
        mine.arguments.insert("word".to_owned(), token.to_string());
        mine.updated_at = Moment::from_micros(i64::try_from(token).unwrap());
        let done = store.write_plan(at, PlanWrite::of(&mine)).await.unwrap();
        let output = OutputTail { total_bytes: token, tail: token.to_string().into_bytes() };
        let more = store.write_output(at, &key(false, "first"), &output).await.unwrap();
        let all = [done, more];
        written.extend(all.into_iter().filter_map(|done| match done {
            Fenced::Written(version) => Some((version, token)),
            Fenced::Refused => None,
        }));
    }
    written
}

/// Two instances race for one plan: each version was written once, and no token
/// comes after a greater one.
async fn races_are_won_by_the_greater_token(kit: Kit) {
    let plan = kit.added().await;
    let tokens = AtomicU64::new(2);
    let stores = [kit.store.clone(), kit.another().await];
    let (plan, tokens) = (&plan, &tokens);
    let runs = stores.iter().flat_map(|store| (0..4).map(move |_| race(store, plan, tokens)));
    let mut written: Vec<_> = join_all(runs).await.into_iter().flatten().collect();
    written.sort_unstable();
    let versions: Vec<_> = written.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (2..written.len() as u64 + 2).collect::<Vec<_>>(), "each once");
    assert!(written.is_sorted_by_key(|(_, token)| *token), "an old token after a new one");
    let (version, token) = *written.last().unwrap();
    assert!(written.len() < 960, "nobody was ever late, so this shows nothing");
    for store in &stores {
        let kept = store.plan(plan.id).await.unwrap().unwrap();
        assert_eq!((kept.version, kept.fencing_token), (version, token));
        assert_eq!(kept.arguments["word"], kept.updated_at.micros().to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn races_on_a_file_are_won_by_the_greater_token() {
    races_are_won_by_the_greater_token(Kit::file().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn races_on_postgres_are_won_by_the_greater_token() {
    races_are_won_by_the_greater_token(Kit::postgres().await).await;
}

async fn one_action_of_two_instances_wins(kit: Kit) {
    let stores = [kit.store.clone(), kit.another().await];
    let all: Vec<_> = (0..100).map(|at| template("edit/rename", &format!("by {at}"))).collect();
    let adding = all
        .iter()
        .enumerate()
        .map(|(at, one)| stores[at % 2].add_action(one, Moment::from_micros(1)));
    let answers = join_all(adding).await;
    let won = answers.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    assert_eq!(won, 1);
    for store in &stores {
        assert!(store.action(&action_name("edit/rename")).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_action_of_two_instances_on_a_file_wins() {
    one_action_of_two_instances_wins(Kit::file().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_action_of_two_instances_on_postgres_wins() {
    one_action_of_two_instances_wins(Kit::postgres().await).await;
}

async fn many_open_at_once(url: &str) {
    let url = DatabaseUrl::parse(url).unwrap();
    let opening = (0..12).map(|_| {
        let url = url.clone();
        tokio::spawn(async move { open(&url, &options()).await })
    });
    let mut stores = Vec::new();
    for opened in join_all(opening).await {
        stores.push(opened.unwrap().unwrap());
    }
    for (at, store) in stores.iter().enumerate() {
        let one = template(&format!("n/a{at}"), "");
        assert!(store.add_action(&one, Moment::from_micros(1)).await.unwrap());
    }
    assert_eq!(stores[0].actions(None, None, 100).await.unwrap().len(), stores.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    many_open_at_once(&format!("sqlite://{}/made/plans.db", folder.path().display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_open_a_new_postgres_at_once() {
    let database = service_kit::testing::postgres::database().await;
    many_open_at_once(database.url()).await;
}

/// Which file the other process is to write to, and which plan.
const FILE: &str = "PLAN_SERVICE_TEST_FILE";
const PLAN: &str = "PLAN_SERVICE_TEST_PLAN";
const WRITES: usize = 150;

/// Records changes as a run does: how many it was told are written.
async fn record_in_one(store: &SharedStore, plan: &Plan) {
    let at = fence(plan, 2);
    let step = name(&format!("by-{}", std::process::id()));
    let handle = store.start_changeset(at, &step, Moment::from_micros(1)).await.unwrap().unwrap();
    for number in 0..WRITES {
        let done = store.record_changes(&handle, &[change(number)]).await.unwrap();
        assert!(matches!(done, Fenced::Written(_)));
    }
}

/// Two processes, and not only two stores in one, which SQLite tells apart.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_one_file() {
    let kit = Kit::file().await;
    let plan = kit.added().await;
    let this = std::env::current_exe().unwrap();
    let what = ["--ignored", "--exact", "shared::the_other_process", "--nocapture"];
    let told = [(FILE, kit.url.clone()), (PLAN, plan.id.to_string())];
    let mut other = Process::start(this, what, told);
    other.wait_for_line(|line| line.contains("it is open"), Duration::from_secs(60)).await;
    record_in_one(&kit.store, &plan).await;
    let status = other.wait(Duration::from_secs(60)).await;
    assert!(status.success(), "{}", other.output());
    let All { plan: kept, changesets, .. } = kit.all_of(plan.id).await;
    assert_eq!(changesets.len(), 2);
    for changeset in changesets {
        assert_eq!(changeset.changes, (0..WRITES).map(change).collect::<Vec<_>>());
    }
    assert_eq!(kept.unwrap().version, 3 + 2 * WRITES as u64);
}

/// Not a test of its own: see above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test starts it"]
#[expect(clippy::print_stdout, reason = "it tells the other process")]
async fn the_other_process() {
    let (Ok(url), Ok(plan)) = (std::env::var(FILE), std::env::var(PLAN)) else { return };
    let store = open_at(&url).await;
    let plan = store.plan(plan.parse().unwrap()).await.unwrap().unwrap();
    println!("it is open");
    record_in_one(&store, &plan).await;
    store.close().await;
}

/// What this version cannot read is told by its plan's id.
async fn what_cannot_be_read_is_told(kit: Kit) {
    let plan = kit.added().await;
    let template = template("edit/rename", "");
    assert!(kit.store.add_action(&template, Moment::from_micros(1)).await.unwrap());
    let unreadable = |error: StoreError, what: &str| match error {
        StoreError::Unreadable(told) => assert!(told.contains(what), "{told}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(kit.sql("UPDATE plans SET document = '{\"phase\": 3}'").await, 1);
    let id = plan.id.to_string();
    unreadable(kit.store.plan(plan.id).await.unwrap_err(), &id);
    let listing = kit.store.plans(&Default::default(), None, 10).await;
    unreadable(listing.unwrap_err(), &id);
    assert_eq!(kit.sql("UPDATE plan_events SET problem = 'what?'").await, 1);
    unreadable(kit.store.events(plan.id).await.unwrap_err(), &id);
    assert_eq!(kit.sql("UPDATE actions SET template = '[]'").await, 1);
    unreadable(kit.store.action(&template.name).await.unwrap_err(), "edit/rename");
    // A write does not read it, and makes it good.
    kit.write(2, PlanWrite::of(&plan)).await;
    assert_eq!(kit.store.plan(plan.id).await.unwrap().unwrap().id, plan.id);
}

#[tokio::test]
async fn what_cannot_be_read_in_a_file_is_told() {
    what_cannot_be_read_is_told(Kit::file().await).await;
}

#[tokio::test]
async fn what_cannot_be_read_in_postgres_is_told() {
    what_cannot_be_read_is_told(Kit::postgres().await).await;
}

/// The lock server's tables may be in the same Postgres.
#[tokio::test]
async fn a_postgres_is_shared_with_the_lock_server() {
    let database = service_kit::testing::postgres::database().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    for script in migrations_of_the_lock_server() {
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut connection).await.unwrap();
    }
    let store = open_at(database.url()).await;
    assert!(store.add_action(&template("a/b", ""), Moment::from_micros(1)).await.unwrap());
}

/// The migrations of the lock server, in order.
fn migrations_of_the_lock_server() -> Vec<String> {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/lock/postgres");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}
