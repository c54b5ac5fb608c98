//! Has the database write down every change of every lock, in the transaction
//! that makes it.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::checker::Entry;

const POSTGRES: &str = "
    CREATE TABLE history (
        number bigint GENERATED ALWAYS AS IDENTITY,
        at timestamptz, resource text, owner text, token bigint,
        acquired_at timestamptz, renewed_at timestamptz, expires_at timestamptz
    );
    CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO history (at, resource, owner, token, acquired_at, renewed_at, expires_at)
        VALUES (clock_timestamp(), NEW.resource_type || '/' || NEW.resource_id, NEW.owner_id,
                NEW.fencing_token, NEW.acquired_at, NEW.renewed_at, NEW.expires_at);
        RETURN NULL;
    END $$;
    CREATE TRIGGER record AFTER INSERT OR UPDATE ON locks FOR EACH ROW EXECUTE FUNCTION record()";

const READ_POSTGRES: &str = "
    SELECT resource, owner, token,
           (extract(epoch FROM at) * 1000000)::bigint AS at,
           (extract(epoch FROM acquired_at) * 1000000)::bigint AS acquired_at,
           (extract(epoch FROM renewed_at) * 1000000)::bigint AS renewed_at,
           (extract(epoch FROM expires_at) * 1000000)::bigint AS expires_at
    FROM history ORDER BY number";

const SQLITE_INSERT: &str = "
        INSERT INTO history (at, resource, owner, token, acquired_at, renewed_at, expires_at)
        VALUES (CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000,
                NEW.resource_type || '/' || NEW.resource_id, NEW.owner_id,
                NEW.fencing_token, NEW.acquired_at, NEW.renewed_at, NEW.expires_at);";

const READ_SQLITE: &str = "SELECT * FROM history ORDER BY number";

/// The database whose locks are recorded.
#[derive(Debug, Clone)]
pub(crate) enum Recorder {
    Postgres { url: String },
    Sqlite { path: String },
}

impl Recorder {
    /// Starts to record. The schema must be there.
    pub(crate) async fn start(&self) {
        match self {
            Self::Postgres { url } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql(POSTGRES).execute(&mut connection).await.unwrap();
            }
            Self::Sqlite { path } => {
                let url = format!("sqlite://{path}");
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                let sql = format!(
                    "CREATE TABLE history (number INTEGER PRIMARY KEY, at INTEGER, resource TEXT,
                        owner TEXT, token INTEGER, acquired_at INTEGER, renewed_at INTEGER,
                        expires_at INTEGER);
                     CREATE TRIGGER record_insert AFTER INSERT ON locks
                        BEGIN {SQLITE_INSERT} END;
                     CREATE TRIGGER record_update AFTER UPDATE ON locks
                        BEGIN {SQLITE_INSERT} END;"
                );
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// What was recorded.
    pub(crate) async fn history(&self) -> Vec<Entry> {
        match self {
            Self::Postgres { url } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let rows = sqlx::query(READ_POSTGRES).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(entry).collect()
            }
            Self::Sqlite { path } => {
                let url = format!("sqlite://{path}");
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                let rows = sqlx::query(READ_SQLITE).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(entry).collect()
            }
        }
    }
}

fn entry<'r, R>(row: &'r R) -> Entry
where
    R: sqlx::Row,
    &'static str: sqlx::ColumnIndex<R>,
    String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    Option<i64>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    Entry {
        resource: row.get("resource"),
        at: row.get("at"),
        owner: row.get("owner"),
        token: row.get("token"),
        acquired_at: row.get("acquired_at"),
        renewed_at: row.get("renewed_at"),
        expires_at: row.get("expires_at"),
    }
}
