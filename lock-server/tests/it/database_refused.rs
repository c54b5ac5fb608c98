//! Databases that would break a promise are refused at start.

use service_kit::testing::{TestDatabase, postgres};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::support::{Serving, assert_serves, run};

/// The last part of a database's URL.
fn name(database: &TestDatabase) -> &str {
    database.url().rsplit('/').next().unwrap()
}

async fn execute(database: &TestDatabase, sql: String) {
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test]
async fn a_database_that_acknowledges_before_it_has_written_is_refused() {
    let database = postgres::database().await;
    let name = name(&database);
    let set = |value: &str| format!("ALTER DATABASE {name} SET synchronous_commit = {value}");
    execute(&database, set("off")).await;
    let args = ["--listen", "127.0.0.1:0", "--database-url", database.url()];
    let refused = run(&args, &[]).await.ended_with(1);
    refused.complains(&[database.url(), "synchronous_commit = off", "Set it to on", "lost"]);
    for value in ["on", "remote_apply"] {
        execute(&database, set(value)).await;
        let server = Serving::start(&args).await;
        assert_serves(&mut server.locks()).await;
    }
}

#[tokio::test]
async fn a_database_that_is_not_utf_8_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = postgres::database().await;
        let other = format!("{}_{}", name(&database), encoding.to_lowercase());
        execute(
            &database,
            format!("CREATE DATABASE {other} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"),
        )
        .await;
        let url = database.url().replace(name(&database), &other);
        let refused =
            run(&["--listen", "127.0.0.1:0", "--database-url", &url], &[]).await.ended_with(1);
        refused.complains(&[&url, encoding, "UTF8"]);
    }
}
