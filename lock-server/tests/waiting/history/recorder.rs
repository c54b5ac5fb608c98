//! Has the database write down what happens to locks and to those who wait, in
//! the transaction in which it happens.
//!
//! Whatever changes a lock or its queue has the lock's row, so the numbers of
//! the entries are the order in which it happened. What servers say of
//! themselves is in between somewhere.

use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgRow};

use super::checker::{Entry, Place, Row, What};

const START: &str = "
    CREATE TABLE history (
        number bigint GENERATED ALWAYS AS IDENTITY,
        tx bigint DEFAULT pg_current_xact_id()::text::bigint,
        at timestamptz DEFAULT clock_timestamp(),
        what text, owner text,
        token bigint, acquired_at timestamptz, expires_at timestamptz, waiters integer,
        place bigint, waits_until timestamptz, servers text[], cancelled boolean
    );
    CREATE FUNCTION record_lock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO history (what, owner, token, acquired_at, expires_at, waiters)
        VALUES ('lock', NEW.owner_id, NEW.fencing_token, NEW.acquired_at, NEW.expires_at,
                NEW.waiters);
        RETURN NULL;
    END $$;
    CREATE FUNCTION record_waiter() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        w lock_waiters;
    BEGIN
        IF TG_OP = 'DELETE' THEN w := OLD; ELSE w := NEW; END IF;
        INSERT INTO history (what, owner, token, place, waits_until, servers, cancelled)
        VALUES (TG_OP, w.owner_id, w.granted_token, w.place, w.waits_until, w.servers::text[],
                w.cancelled);
        RETURN NULL;
    END $$;
    CREATE FUNCTION record_server() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO history (what, owner, expires_at)
        VALUES ('server', NEW.server::text, NEW.alive_until);
        RETURN NULL;
    END $$;
    CREATE TRIGGER record AFTER INSERT OR UPDATE ON locks
        FOR EACH ROW EXECUTE FUNCTION record_lock();
    CREATE TRIGGER record AFTER INSERT OR UPDATE OR DELETE ON lock_waiters
        FOR EACH ROW EXECUTE FUNCTION record_waiter();
    CREATE TRIGGER record AFTER INSERT OR UPDATE ON lock_servers
        FOR EACH ROW EXECUTE FUNCTION record_server();";

const READ: &str = "
    SELECT tx, what, owner, token, waiters, place, servers, cancelled,
           (extract(epoch FROM at) * 1000000)::bigint AS at,
           (extract(epoch FROM acquired_at) * 1000000)::bigint AS acquired_at,
           (extract(epoch FROM expires_at) * 1000000)::bigint AS expires_at,
           (extract(epoch FROM waits_until) * 1000000)::bigint AS waits_until
    FROM history ORDER BY number";

/// Starts to record. The schema must be there.
pub(crate) async fn start(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(START).execute(&mut connection).await.unwrap();
}

/// What was recorded.
pub(crate) async fn history(url: &str) -> Vec<Entry> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows = sqlx::query(READ).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(entry).collect()
}

fn entry(row: &PgRow) -> Entry {
    let owner: String = row.get("owner");
    let place = || Place {
        place: row.get("place"),
        owner: row.get("owner"),
        waits_until: row.get("waits_until"),
        servers: row.get("servers"),
        granted: row.get("token"),
        cancelled: row.get("cancelled"),
    };
    let what = match row.get("what") {
        "lock" => What::Lock(Row {
            owner,
            token: row.get("token"),
            acquired_at: row.get("acquired_at"),
            expires_at: row.get("expires_at"),
            waiters: row.get("waiters"),
        }),
        "server" => What::Alive { server: owner, until: row.get("expires_at") },
        "INSERT" => What::Arrived(place()),
        "UPDATE" => What::Changed(place()),
        "DELETE" => What::Left(place()),
        other => panic!("{other}"),
    };
    Entry { tx: row.get("tx"), at: row.get("at"), what }
}
