//! The obvious server: a request is a statement, on a connection from a pool.

use std::time::{Duration, SystemTime};

use proto::lock::v1::{
    AcquireRequest, AcquireResponse, ReleaseRequest, ReleaseResponse, RenewRequest, RenewResponse,
    Resource,
};
use sqlx::{
    PgPool, Row as _,
    postgres::{PgPoolOptions, PgRow},
};
use time::OffsetDateTime;
use tonic::Status;

use super::{
    answer::{self, Hold, clock},
    service::Backend,
};
use crate::{
    schema,
    trouble::{During, Result as Outcome},
};

const TTL: Duration = Duration::from_secs(300);

/// Locks in Postgres.
pub(super) struct Obvious {
    pool: PgPool,
}

impl Obvious {
    pub(super) async fn connect(url: &str, size: u32) -> Outcome<Self> {
        // All connections from the start, and no statement beside those that are asked for.
        let options = PgPoolOptions::new()
            .min_connections(size)
            .max_connections(size)
            .test_before_acquire(false);
        Ok(Self { pool: options.connect(url).await.during("connect to Postgres")? })
    }
}

#[tonic::async_trait]
impl Backend for Obvious {
    async fn acquire(&self, request: AcquireRequest) -> Result<AcquireResponse, Status> {
        let AcquireRequest { resource, owner_id, ttl, .. } = request;
        let Resource { r#type, id } = known(resource)?;
        let ttl = match ttl {
            None => TTL,
            Some(ttl) => {
                ttl.try_into().map_err(|_| Status::invalid_argument("the ttl is negative"))?
            }
        };
        let row = sqlx::query(schema::ACQUIRE)
            .bind(&r#type)
            .bind(&id)
            .bind(&owner_id)
            .bind(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
            .fetch_optional(&self.pool)
            .await
            .map_err(away)?;
        let Some(row) = row else {
            return Err(Status::failed_precondition("another owner holds the lock"));
        };
        let resource = Some(Resource { r#type, id });
        let lock = answer::lock(resource, owner_id, hold(&row).map_err(away)?);
        Ok(AcquireResponse { lock: Some(lock), reentrant: false })
    }

    async fn release(&self, request: ReleaseRequest) -> Result<ReleaseResponse, Status> {
        let Resource { r#type, id } = known(request.resource)?;
        let done = sqlx::query(schema::RELEASE)
            .bind(r#type)
            .bind(id)
            .bind(request.owner_id)
            .bind(request.fencing_token.map(u64::cast_signed))
            .execute(&self.pool)
            .await
            .map_err(away)?;
        Ok(ReleaseResponse { released: done.rows_affected() == 1 })
    }

    async fn renew(&self, request: RenewRequest) -> Result<RenewResponse, Status> {
        let Resource { r#type, id } = known(request.resource)?;
        let row = sqlx::query(schema::RENEW)
            .bind(&r#type)
            .bind(&id)
            .bind(&request.owner_id)
            .bind(request.fencing_token.cast_signed())
            .fetch_optional(&self.pool)
            .await
            .map_err(away)?;
        let row = row.ok_or_else(|| Status::aborted("not held"))?;
        let resource = Some(Resource { r#type, id });
        let lock = answer::lock(resource, request.owner_id, hold(&row).map_err(away)?);
        Ok(RenewResponse { lock: Some(lock) })
    }
}

fn known(resource: Option<Resource>) -> Result<Resource, Status> {
    resource.ok_or_else(|| Status::invalid_argument("resource is missing"))
}

fn hold(row: &PgRow) -> sqlx::Result<Hold> {
    let time = |column| row.try_get::<OffsetDateTime, _>(column).map(SystemTime::from);
    let expires = time("expires_at")?;
    Ok(Hold {
        token: row.try_get::<i64, _>("fencing_token")?.cast_unsigned(),
        acquired: time("acquired_at")?,
        renewed: time("renewed_at")?,
        expires,
        ttl: expires.duration_since(clock()).unwrap_or_default(),
    })
}

fn away(error: sqlx::Error) -> Status {
    Status::unavailable(format!("the database: {error}"))
}
