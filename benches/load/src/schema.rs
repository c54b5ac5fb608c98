//! The table and the statements of a lock service that sends one statement for each request: for
//! the obvious server, and for plain Postgres without a server.

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::trouble::{During, Result};

/// One row for a resource, with room in its page for the next version of a row. Nothing but the key
/// is indexed, so that no update touches an index.
const TABLE: &str = r#"
    CREATE TABLE locks (
        resource_type text   COLLATE "C" NOT NULL,
        resource_id   text   COLLATE "C" NOT NULL,
        owner_id      text   COLLATE "C" NOT NULL,
        fencing_token bigint NOT NULL,
        acquired_at   timestamptz NOT NULL,
        renewed_at    timestamptz NOT NULL,
        expires_at    timestamptz,
        ttl_ms        bigint NOT NULL,
        metadata      jsonb  NOT NULL DEFAULT '{}',
        PRIMARY KEY (resource_type, resource_id)
    ) WITH (fillfactor = 50)
"#;

/// Takes the lock if it is free, stale or the caller's own; no row when another one holds it.
/// `$1` type, `$2` id, `$3` owner, `$4` ttl in milliseconds.
pub(crate) const ACQUIRE: &str = "
    INSERT INTO locks AS held (resource_type, resource_id, owner_id, fencing_token,
                               acquired_at, renewed_at, expires_at, ttl_ms)
    SELECT $1, $2, $3, 1, clock, clock, clock + $4 * interval '1 ms', $4
    FROM clock_timestamp() AS clock
    ON CONFLICT (resource_type, resource_id) DO UPDATE SET
        owner_id = excluded.owner_id,
        fencing_token = CASE WHEN held.expires_at > excluded.acquired_at
                             THEN held.fencing_token ELSE held.fencing_token + 1 END,
        acquired_at = CASE WHEN held.expires_at > excluded.acquired_at
                           THEN held.acquired_at ELSE excluded.acquired_at END,
        renewed_at = excluded.renewed_at,
        expires_at = excluded.expires_at,
        ttl_ms = excluded.ttl_ms
    WHERE held.owner_id = excluded.owner_id
       OR held.expires_at IS NULL OR held.expires_at <= excluded.acquired_at
    RETURNING fencing_token, acquired_at, renewed_at, expires_at, ttl_ms";

/// Gives it back. `$1` type, `$2` id, `$3` owner, `$4` token, or null for any.
pub(crate) const RELEASE: &str = "
    UPDATE locks SET expires_at = NULL
    WHERE resource_type = $1 AND resource_id = $2 AND owner_id = $3
      AND fencing_token = coalesce($4, fencing_token) AND expires_at > clock_timestamp()";

/// Renews it. `$1` type, `$2` id, `$3` owner, `$4` token.
pub(crate) const RENEW: &str = "
    UPDATE locks
    SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + ttl_ms * interval '1 ms'
    WHERE resource_type = $1 AND resource_id = $2 AND owner_id = $3
      AND fencing_token = $4 AND expires_at > clock_timestamp()
    RETURNING fencing_token, acquired_at, renewed_at, expires_at, ttl_ms";

/// [`ACQUIRE`] for many rows. `$1` type, `$2` ids, `$3` owner, `$4` ttl in milliseconds.
pub(crate) const ACQUIRE_ROWS: &str = "
    INSERT INTO locks AS held (resource_type, resource_id, owner_id, fencing_token,
                               acquired_at, renewed_at, expires_at, ttl_ms)
    SELECT $1, id, $3, 1, clock, clock, clock + $4 * interval '1 ms', $4
    FROM unnest($2::text[]) AS id, clock_timestamp() AS clock
    ON CONFLICT (resource_type, resource_id) DO UPDATE SET
        owner_id = excluded.owner_id,
        fencing_token = held.fencing_token + 1,
        acquired_at = excluded.acquired_at,
        renewed_at = excluded.renewed_at,
        expires_at = excluded.expires_at,
        ttl_ms = excluded.ttl_ms
    WHERE held.expires_at IS NULL OR held.expires_at <= excluded.acquired_at
    RETURNING fencing_token";

/// [`RELEASE`] for many rows. `$1` type, `$2` ids, `$3` owner.
pub(crate) const RELEASE_ROWS: &str = "
    UPDATE locks SET expires_at = NULL
    FROM unnest($2::text[]) AS id
    WHERE resource_type = $1 AND resource_id = id AND owner_id = $3
      AND expires_at > clock_timestamp()";

/// Makes the table in an empty database.
pub(crate) async fn create(url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await.during("connect to Postgres")?;
    connection.execute(TABLE).await.during("create the table")?;
    connection.close().await.during("close a connection")
}
