//! A holder that is paused for longer than its lease, and its late write: with
//! the fence it is refused, without it destroys what the next holder wrote.
//!
//! Needs nothing but `cargo run -p lock-client --example fenced_write`: the
//! lock server and the database that it protects run in this process.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, time::Duration};

use lock_client::{AcquireOptions, LockClient, fenced, fenced::Outcome};
use lock_server::testing::TestServer;
use sqlx::{Connection as _, SqliteConnection};

const TTL: Duration = Duration::from_millis(500);

/// What the lock `plan/42` protects. `fencing_token` is the fence.
const TABLE: &str = "
    CREATE TABLE plans (
        id TEXT PRIMARY KEY,
        author TEXT NOT NULL,
        fencing_token BIGINT NOT NULL DEFAULT 0
    )";

/// The write and the check of the token in one statement.
const FENCED: &str =
    "UPDATE plans SET author = $1, fencing_token = $2 WHERE id = $3 AND fencing_token <= $2";

/// What one writes without thinking of the paused holder.
const UNFENCED: &str = "UPDATE plans SET author = $1 WHERE id = $2";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TestServer::start(&["--min-ttl", "100ms"]).await;
    let client = LockClient::connect(server.url())?;
    let mut plans = SqliteConnection::connect("sqlite::memory:").await?;
    sqlx::query(TABLE).execute(&mut plans).await?;
    sqlx::query("INSERT INTO plans (id, author) VALUES ('42', 'nobody')")
        .execute(&mut plans)
        .await?;

    // Anna takes the lock and is paused: nothing renews her lease. (A guard
    // would; one whose whole process stands still cannot.)
    let anna = client.with_owner("anna");
    let options = AcquireOptions::new().ttl(TTL);
    let hers = anna.acquire_unguarded(("plan", "42"), options.clone()).await?.lock;
    println!("anna holds plan/42 with token {} and is paused", hers.fencing_token);

    // Ben is told who holds it, until the lease runs out.
    let ben = client.with_owner("ben");
    let guard = loop {
        match ben.acquire(("plan", "42"), options.clone()).await {
            Ok(guard) => break guard,
            Err(lock_client::ClientError::Conflict(conflict)) => {
                println!("ben has to wait: {conflict}");
                tokio::time::sleep(conflict.retry_after.unwrap_or(TTL)).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    println!("ben holds plan/42 with token {}", guard.fencing_token());
    guard.check()?;
    let outcome = write_fenced(&mut plans, "ben", guard.fencing_token()).await?;
    println!("ben writes: {outcome:?}; the author is {}", author(&mut plans).await?);
    assert_eq!(outcome, Outcome::Written);

    // Anna wakes up in the middle of her write and knows of nothing.
    let outcome = write_fenced(&mut plans, "anna", hers.fencing_token).await?;
    println!("anna writes late: {outcome:?}; the author is {}", author(&mut plans).await?);
    assert_eq!(outcome, Outcome::Refused);
    assert_eq!(author(&mut plans).await?, "ben");

    sqlx::query(UNFENCED).bind("anna").bind("42").execute(&mut plans).await?;
    println!("without the fence the author is {}: ben's write is lost", author(&mut plans).await?);
    assert_eq!(author(&mut plans).await?, "anna");

    guard.release().await?;
    server.stop().await;
    Ok(())
}

async fn write_fenced(
    plans: &mut SqliteConnection,
    author: &str,
    fencing_token: u64,
) -> Result<Outcome, sqlx::Error> {
    let write = sqlx::query(FENCED).bind(author).bind(fenced::sql_token(fencing_token)).bind("42");
    Ok(Outcome::of(write.execute(plans).await?.rows_affected()))
}

async fn author(plans: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT author FROM plans WHERE id = '42'").fetch_one(plans).await
}
