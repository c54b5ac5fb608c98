//! Several servers on one Postgres.

use futures::future::join_all;
use service_kit::testing::postgres;
use sqlx::{Connection as _, PgConnection};
use tonic::Code;

use super::support::{Serving, acquire, failure, run, take};

#[tokio::test]
async fn servers_that_start_at_once_on_an_empty_database_all_come_up() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let servers = join_all((0..6).map(|_| Serving::start(&flags))).await;
    take(&servers[0].locks(), "plan/42", "owner").await;
    for server in &servers {
        let again = server.locks().acquire(acquire("plan/42", "owner")).await.unwrap();
        assert!(again.into_inner().reentrant);
        let status = server.locks().acquire(acquire("plan/42", "other")).await.unwrap_err();
        failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
    }
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let applied: Vec<bool> =
        sqlx::query_scalar("SELECT success FROM lock_schema_migrations ORDER BY version")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/lock/postgres");
    let scripts = std::fs::read_dir(scripts).unwrap().count();
    assert_eq!(applied, vec![true; scripts]);
}

#[tokio::test]
async fn migrations_that_run_at_once_all_succeed() {
    let database = postgres::database().await;
    let args = ["migrate", "--database-url", database.url()];
    for ended in join_all((0..6).map(|_| run(&args, &[]))).await {
        ended.ended_with(0);
    }
}

#[tokio::test]
async fn any_server_answers_for_any_lock() {
    let database = postgres::database().await;
    let flags = ["--database-url", database.url()];
    let mut first = Serving::start(&flags).await;
    let second = Serving::start(&flags).await;
    let lock = take(&first.locks(), "plan/42", "owner").await;
    first.process.kill();
    let renewed = second.locks().renew(super::support::renew(&lock)).await.unwrap();
    assert_eq!(renewed.into_inner().lock.unwrap().fencing_token, lock.fencing_token);
}
