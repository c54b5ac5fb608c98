//! The test harness against itself: real servers, killed, paused and left behind.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use service_kit::shutdown::Signals;
use service_kit::testing::{
    Answer, PostgresServer, Process, Signal, TcpProxy, eventually, postgres,
};
use sqlx::{Connection, Executor, PgConnection, Row};

const SOON: Duration = Duration::from_secs(20);
const NO_ENVIRONMENT: [(&str, &str); 0] = [];

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    let query = sqlx::query("SELECT current_setting($1)").bind(name.to_owned());
    query.fetch_one(connection).await.unwrap().get(0)
}

async fn query(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute("SELECT 1").await?;
    Ok(())
}

#[tokio::test]
async fn each_database_is_fresh_and_shares_a_server() {
    let (one, two) = tokio::join!(postgres::database(), postgres::database());
    assert_ne!(one.url(), two.url());
    let mut first = PgConnection::connect(one.url()).await.unwrap();
    let mut second = PgConnection::connect(two.url()).await.unwrap();
    first.execute("CREATE TABLE only_here ()").await.unwrap();
    assert!(second.execute("SELECT * FROM only_here").await.is_err());
    assert_eq!(setting(&mut first, "port").await, setting(&mut second, "port").await);
}

#[test]
fn the_shared_server_outlives_a_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime().block_on(postgres::database());
    runtime().block_on(query(database.url())).unwrap();
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_data() {
    let server = PostgresServer::start_with(&[("work_mem", "5MB")]);
    let database = server.database().await;
    let mut before = PgConnection::connect(database.url()).await.unwrap();
    assert_eq!(setting(&mut before, "work_mem").await, "5MB");
    assert_eq!(setting(&mut before, "fsync").await, "on");
    before.execute("CREATE TABLE kept ()").await.unwrap();

    server.kill();
    assert!(before.execute("SELECT 1").await.is_err());
    assert!(query(database.url()).await.is_err());
    server.start_again();
    let mut after = PgConnection::connect(database.url()).await.unwrap();
    after.execute("SELECT * FROM kept").await.unwrap();

    server.stop_fast();
    assert!(after.execute("SELECT 1").await.is_err());
    server.start_again();
    query(database.url()).await.unwrap();
    server.restart();
    query(database.url()).await.unwrap();
}

#[tokio::test]
async fn a_paused_server_is_silent_until_it_goes_on() {
    let server = PostgresServer::start();
    let url = server.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    server.pause();
    let mut waiting = Box::pin(connection.execute("SELECT 1"));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waiting).await.is_err());
    server.resume();
    waiting.await.unwrap();
    // One that is paused when its test ends must still go.
    server.pause();
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_server() {
    for killed in [false, true] {
        let server = PostgresServer::start();
        let url = server.url("postgres");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let folder = setting(&mut connection, "data_directory").await;
        let folder = Path::new(&folder).parent().unwrap().to_owned();
        assert!(folder.exists());
        if killed {
            server.kill();
        }
        drop(server);
        assert!(!folder.exists(), "{}", folder.display());
        assert!(query(&url).await.is_err());
    }
}

/// Not a test of its own: what the next one starts and kills.
#[tokio::test]
#[ignore = "started by another test"]
async fn holds_a_server() {
    let server = PostgresServer::start();
    let url = server.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    eprintln!("\nholds {url} {}", setting(&mut connection, "data_directory").await);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn nothing_is_left_of_a_killed_test_process() {
    let arguments = ["--ignored", "--exact", "--nocapture", "holds_a_server"];
    let mut process = Process::start(std::env::current_exe().unwrap(), arguments, NO_ENVIRONMENT);
    let line = process.wait_for_line(|line| line.starts_with("holds "), SOON).await;
    let [_, url, folder] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    query(url).await.unwrap();
    process.kill();
    let gone = async || (!Path::new(folder).parent()?.exists()).then_some(());
    eventually("the folder has gone", SOON, gone).await;
    assert!(query(url).await.is_err());
}

#[tokio::test]
async fn a_process_is_heard_signalled_and_waited_for() {
    let script = "trap 'echo caught; exit 3' TERM; echo $WORD >&2; while :; do sleep 0.01; done";
    let mut process = Process::start("sh", ["-c", script], [("WORD", "ready")]);
    assert_eq!(process.wait_for_line(|line| line.contains("ready"), SOON).await, "ready");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait(SOON).await.code(), Some(3));
    assert_eq!(process.output(), "ready\ncaught");
}

#[tokio::test]
#[should_panic = "no such line the process ended before; its output:\nwrong"]
async fn a_process_that_ends_too_early_is_told() {
    let mut process = Process::start("echo", ["wrong"], NO_ENVIRONMENT);
    process.wait_for_line(|line| line == "right", SOON).await;
}

#[tokio::test]
#[should_panic = "not within 10ms: the answer"]
async fn waiting_ends_also_when_a_probe_hangs() {
    let never = async || std::future::pending::<Option<()>>().await;
    eventually("the answer", Duration::from_millis(10), never).await;
}

#[tokio::test]
async fn a_proxy_takes_a_server_away_and_brings_it_back() {
    let database = postgres::database().await;
    let authority = database.url().split(['@', '/']).nth(3).unwrap();
    let proxy = TcpProxy::start(authority.parse::<SocketAddr>().unwrap()).await;
    let url = database.url().replace(authority, &proxy.address().to_string());
    let mut connection = PgConnection::connect(&url).await.unwrap();

    proxy.stall().await;
    let mut waiting = Box::pin(connection.execute("SELECT 1"));
    let mut newcomer = Box::pin(query(&url));
    let both = async {
        tokio::select! { _ = &mut waiting => (), _ = &mut newcomer => () }
    };
    assert!(tokio::time::timeout(Duration::from_millis(200), both).await.is_err());
    proxy.resume().await;
    waiting.await.unwrap();
    newcomer.await.unwrap();

    proxy.mute().await;
    let mut waiting = Box::pin(connection.execute("CREATE TABLE told ()"));
    let created = async || {
        let mut direct = PgConnection::connect(database.url()).await.unwrap();
        let found = direct.fetch_one("SELECT to_regclass('told') IS NOT NULL").await.unwrap();
        found.get::<bool, _>(0).then_some(())
    };
    tokio::select! {
        _ = &mut waiting => panic!("nothing comes back"),
        () = eventually("what was sent to arrive", SOON, created) => {}
    }
    drop(waiting);

    proxy.cut().await;
    assert!(connection.execute("SELECT 1").await.is_err());
    assert!(query(&url).await.is_err());
    proxy.resume().await;
    query(&url).await.unwrap();
}

async fn shell(script: &str, stdin: &str) -> Answer {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", script]);
    Answer::of(command, stdin, SOON).await
}

#[tokio::test]
async fn an_answer_is_what_a_command_has_said() {
    let error = r#"{"error": {"message": "wrong", "reason": "WRONG"}}"#;
    let script = format!("cat; printf '\n[2]'; echo '{error}' >&2; exit 3");
    let answer = shell(&script, "[1]").await.in_utf8().ended_with(3);
    let answer = answer.says(&["[1]", "[2]"]).complains(&["WRONG"]);
    assert_eq!(answer.stdout, "[1]\n[2]");
    assert_eq!(answer.lines().iter().map(|line| &line[0]).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(answer.error()["reason"], "WRONG");

    let answer = shell(r"printf '\377'", "").await.ended_with(0);
    assert_eq!((answer.bytes.as_slice(), answer.stdout.as_str()), (&[0xff][..], "\u{fffd}"));
    let answer = shell("cat; echo '{\"a\": 1}'", "").await;
    assert_eq!(answer.json()["a"], 1);
}

#[tokio::test]
#[should_panic(expected = "not UTF-8")]
async fn an_answer_that_is_not_utf8_is_noticed() {
    shell(r"printf '\377'", "").await.in_utf8();
}

#[tokio::test]
async fn a_signal_is_caught_from_registration_on_and_so_is_the_next() {
    let mut signals = Signals::register().unwrap();
    let own = std::process::id().to_string();
    for (flag, name) in [("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
        Process::start("kill", [flag, &own], NO_ENVIRONMENT).wait(SOON).await;
        assert_eq!(tokio::time::timeout(SOON, signals.recv()).await.unwrap(), name);
    }
}
