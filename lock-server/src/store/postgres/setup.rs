//! Opening the store: finding out how Postgres is reached, checking what the
//! promises depend on, bringing the schema up to date.

use std::{str::FromStr as _, time::Duration};

use service_kit::database::migrations::{applied_postgres, run_postgres};
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    Pooled, PostgresStore, Twice,
    apply::Crowded,
    epoch::Timeline,
    goodbye,
    limits::Limits,
    listen::Listening,
    pooler::{self, Pooler},
    statements,
};
use crate::store::{
    DatabaseUrl, Migrate, OpenError, StoreError, StoreOptions, connections::Connections,
    migrations, news::News,
};

/// The least version of Postgres, as `server_version_num` writes it.
const LEAST_VERSION: i32 = 140_000;

/// What servers that migrate at the same time wait for each other with; any
/// number that nobody else is likely to use.
const MIGRATION_LOCK: i64 = 0x6c6f_636b_2d73_7276;

impl PostgresStore {
    /// Connects, checks and migrates.
    ///
    /// # Errors
    /// When the database cannot be reached, is too old, does not keep what it
    /// acknowledges, or has a schema that does not fit.
    pub async fn open(options: &StoreOptions, pooler: Pooler) -> Result<Self, OpenError> {
        let url = &options.url;
        let base = PgConnectOptions::from_str(url.as_str())
            .map_err(|error| OpenError::url(url, error.to_string()))?
            .application_name("lock-server")
            // Proxies do not pass it on, and we read no floats.
            .extra_float_digits(None)
            .disable_statement_logging();
        let opening = Opening { url, timeout: options.timeout };
        let Ways { any: guarded, batches, pooled } = reach(&base, &opening, pooler).await?;
        let listen = match &options.listen_url {
            Some(url) => Some(
                PgConnectOptions::from_str(url.as_str())
                    .map_err(|error| OpenError::url(url, error.to_string()))?
                    .disable_statement_logging(),
            ),
            None if pooled.is_some() => None,
            None => Some(base.clone()),
        };
        opening.in_time(check_server(&guarded, url)).await?;
        migrate(&base, options, &opening).await?;
        let timeline = opening
            .in_time(async {
                let mut connection = guarded.connect().await?;
                let timeline = Timeline::find(&mut connection).await?;
                goodbye(connection).await;
                Ok::<_, sqlx::Error>(timeline)
            })
            .await?;
        let store = Self {
            connections: Connections::new(guarded, options.max_connections),
            for_watching: Connections::new(batches.clone(), 1),
            for_batches: Connections::new(batches, options.batches),
            batches: options.batches,
            pooled,
            timeout: options.timeout,
            max_stall: options.max_stall,
            acquire_sql: Twice::of(|audience| statements::acquire_sql(timeline, audience)),
            release_sql: Twice::of(statements::release_sql),
            quick_sql: Twice::of(|audience| statements::quick_sql(timeline, audience)),
            quick: true.into(),
            take_over_sql: statements::take_over_sql(timeline),
            renew_sql: Twice::of(|audience| statements::renew_sql("", audience)),
            renew_or_skip_sql: Twice::of(|audience| statements::renew_sql("SKIP LOCKED", audience)),
            standing_sql: statements::standing_sql(),
            ask_sql: statements::ask_sql(timeline),
            release_waited_sql: statements::release_waited_sql(timeline),
            leave_sql: statements::leave_sql(timeline),
            hand_on_sql: statements::hand_on_sql(timeline),
            timeline,
            id: Uuid::now_v7(),
            waiting: options.waiting,
            crowded: Crowded::default(),
            sent_away: false.into(),
            news: News::new(),
            listening: Listening::new(listen),
            watched: false.into(),
            tail: Mutex::default(),
        };
        store.check_epoch().await.map_err(|error| opening.failed(error))?;
        Ok(store)
    }
}

/// What is being opened, and how long each step may take.
struct Opening<'a> {
    url: &'a DatabaseUrl,
    timeout: Duration,
}

impl Opening<'_> {
    /// A step, in time.
    async fn in_time<T, E: Into<Problem>>(
        &self,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, OpenError> {
        match tokio::time::timeout(self.timeout, step).await {
            Ok(result) => result.map_err(|error| match error.into() {
                Problem::Open(error) => error,
                Problem::Store(error) => self.failed(error),
            }),
            Err(_elapsed) => Err(self.failed(StoreError::Timeout(self.timeout))),
        }
    }

    fn failed(&self, source: StoreError) -> OpenError {
        const INVALID_CATALOG_NAME: &str = "3D000";
        if let StoreError::Database(sqlx::Error::Database(error)) = &source
            && error.code().as_deref() == Some(INVALID_CATALOG_NAME)
        {
            return OpenError::Missing(self.url.to_string());
        }
        OpenError::Database { url: self.url.to_string(), source }
    }
}

/// Why a step failed.
enum Problem {
    Open(OpenError),
    Store(StoreError),
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<OpenError> for Problem {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// How to connect.
struct Ways {
    /// For anything.
    any: PgConnectOptions,
    /// For batches of commands.
    batches: PgConnectOptions,
    /// How transactions begin behind a transaction-pooling proxy, if there is
    /// one.
    pooled: Option<Pooled>,
}

async fn reach(
    base: &PgConnectOptions,
    opening: &Opening<'_>,
    pooler: Pooler,
) -> Result<Ways, OpenError> {
    let limits = Limits::of(opening.timeout);
    let guarded = base.clone().options(limits.parameters());
    let is_pooled = match pooler {
        Pooler::Transaction => true,
        Pooler::None => false,
        Pooler::Auto => opening.in_time(drops_parameters(&guarded, limits)).await?,
    };
    let of_batch = Limits::of_batch(opening.timeout);
    if is_pooled {
        tracing::info!("the database is behind a transaction-pooling proxy");
        let any = base.clone().statement_cache_capacity(0);
        let pooled = Pooled { any: limits.begin(), batch: of_batch.begin() };
        return Ok(Ways { batches: any.clone(), any, pooled: Some(pooled) });
    }
    let batches = base.clone().options(of_batch.parameters());
    Ok(Ways { any: guarded, batches, pooled: None })
}

/// Whether who answers does not pass startup parameters on, or refuses them.
async fn drops_parameters(guarded: &PgConnectOptions, limits: Limits) -> Result<bool, sqlx::Error> {
    let mut connection = match guarded.connect().await {
        Err(error) if pooler::refused_startup_parameters(&error) => return Ok(true),
        other => other?,
    };
    // In a transaction and without a name, as nothing is known of the way yet.
    let mut transaction = connection.begin().await?;
    let in_force: i64 = sqlx::query_scalar(
        "SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'",
    )
    .persistent(false)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.rollback().await?;
    goodbye(connection).await;
    Ok(!limits.are_in_force(in_force))
}

/// Checks what the promises depend on.
async fn check_server(options: &PgConnectOptions, url: &DatabaseUrl) -> Result<(), Problem> {
    let mut connection = options.connect().await?;
    let mut transaction = connection.begin().await?;
    let (version, is_postgres, encoding, commit, fsync): (i32, bool, String, String, String) =
        sqlx::query_as(
            "SELECT current_setting('server_version_num')::int,
                    starts_with(version(), 'PostgreSQL'),
                    current_setting('server_encoding'), current_setting('synchronous_commit'),
                    coalesce(current_setting('fsync', true), 'on')",
        )
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    goodbye(connection).await;
    check_settings(url, is_postgres.then_some(version), &encoding, &commit, &fsync)?;
    Ok(())
}

/// What is compatible with Postgres counts its versions in its own way.
fn check_settings(
    url: &DatabaseUrl,
    version: Option<i32>,
    encoding: &str,
    commit: &str,
    fsync: &str,
) -> Result<(), OpenError> {
    if let Some(version) = version.filter(|version| *version < LEAST_VERSION) {
        let (found, least) = (version / 10_000, LEAST_VERSION / 10_000);
        return Err(OpenError::Unsafe(format!(
            "the database {url} is Postgres {found}; Postgres {least} or newer is needed"
        )));
    }
    if encoding != "UTF8" {
        return Err(OpenError::Unsafe(format!(
            "the database {url} is encoded in {encoding}; resource and owner ids need UTF8: create \
             it with ENCODING 'UTF8'"
        )));
    }
    match commit {
        "off" => {
            return Err(OpenError::Unsafe(format!(
                "the database {url} has synchronous_commit = off: a grant that was acknowledged \
                 could be lost in a crash. Set it to on, for instance with ALTER ROLE … SET \
                 synchronous_commit = on"
            )));
        }
        "local" => tracing::warn!(
            "synchronous_commit = local: a grant that was acknowledged may be lost in a failover, \
             even to a synchronous standby"
        ),
        _ => {}
    }
    if fsync == "off" {
        tracing::warn!(
            "fsync = off: a grant that was acknowledged may be lost when the machine crashes"
        );
    }
    Ok(())
}

/// Brings the schema up to date, or checks that it is.
async fn migrate(
    base: &PgConnectOptions,
    options: &StoreOptions,
    opening: &Opening<'_>,
) -> Result<(), OpenError> {
    let migrator = migrations::postgres();
    // Without limits: another server may be migrating, and that is waited for.
    let unlimited = base.clone().statement_cache_capacity(0);
    let mut connection = opening.in_time(unlimited.connect()).await?;
    let applied = opening.in_time(applied_postgres(&mut connection, migrations::TABLE)).await?;
    let needed = migrations::newest(&migrator);
    let result = match options.migrate {
        _ if applied >= Some(needed) => Ok(()),
        Migrate::Auto => {
            let done = run_postgres(&migrator, &mut connection, MIGRATION_LOCK).await;
            done.map_err(OpenError::Migrate).inspect(|()| migrations::note(applied, needed))
        }
        Migrate::Never => {
            Err(OpenError::Schema(migrations::behind(&options.url.to_string(), applied, needed)))
        }
    };
    goodbye(connection).await;
    result
}
