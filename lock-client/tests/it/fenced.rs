//! The table of fences, on both databases that the docs name.

use lock_client::fenced::{CREATE_TABLE, Outcome, RAISE, sql_token};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

/// Tokens in the order in which their writes arrive, and what becomes of them.
const ARRIVALS: [(u64, Outcome); 5] = [
    (7, Outcome::Written),
    (7, Outcome::Written),
    (9, Outcome::Written),
    (7, Outcome::Refused),
    (u64::MAX, Outcome::Refused),
];

#[tokio::test]
async fn a_smaller_token_changes_nothing_in_sqlite() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::query(CREATE_TABLE).execute(&mut db).await.unwrap();
    for (token, expected) in ARRIVALS {
        let raise = sqlx::query(RAISE).bind("plan/42").bind(sql_token(token));
        let rows = raise.execute(&mut db).await.unwrap().rows_affected();
        assert_eq!(Outcome::of(rows), expected, "{token}");
    }
}

#[tokio::test]
async fn a_smaller_token_changes_nothing_in_postgres() {
    let database = service_kit::testing::postgres::database().await;
    let mut db = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query(CREATE_TABLE).execute(&mut db).await.unwrap();
    for (token, expected) in ARRIVALS {
        let raise = sqlx::query(RAISE).bind("plan/42").bind(sql_token(token));
        let rows = raise.execute(&mut db).await.unwrap().rows_affected();
        assert_eq!(Outcome::of(rows), expected, "{token}");
    }
}
