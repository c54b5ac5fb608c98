-- One row for each resource that was ever locked and has not been pruned.
-- The same as in Postgres, but for the types: times are microseconds since
-- 1970 in UTC, spans are microseconds, metadata is JSON text. SQLite compares
-- text byte for byte by default.
CREATE TABLE locks (
    resource_type text    NOT NULL,
    resource_id   text    NOT NULL,
    owner_id      text    NOT NULL,
    fencing_token integer NOT NULL,
    acquired_at   integer NOT NULL,
    renewed_at    integer NOT NULL,
    -- Null when the resource is free.
    expires_at    integer,
    -- Null while the lock is held or stale.
    freed_at      integer,
    ttl           integer NOT NULL,
    reentries     integer NOT NULL DEFAULT 0,
    metadata      text    NOT NULL DEFAULT '{}',
    CONSTRAINT locks_pkey PRIMARY KEY (resource_type, resource_id),
    CONSTRAINT locks_token_positive CHECK (fencing_token > 0),
    CONSTRAINT locks_free_or_leased CHECK ((expires_at IS NULL) = (freed_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX locks_by_owner ON locks (owner_id) WHERE expires_at IS NOT NULL;
CREATE INDEX locks_by_expiry ON locks (expires_at, resource_type, resource_id)
    WHERE expires_at IS NOT NULL;
CREATE INDEX locks_by_freed ON locks (freed_at) WHERE freed_at IS NOT NULL;

-- From where tokens start for a resource whose row was pruned. One row.
-- There is no failover here, so there is no epoch.
CREATE TABLE fencing_epoch (
    only_row    integer PRIMARY KEY CHECK (only_row = 1),
    token_floor integer NOT NULL DEFAULT 0
) STRICT;
INSERT INTO fencing_epoch (only_row) VALUES (1);

CREATE VIEW held_locks AS
    SELECT resource_type, resource_id, owner_id, fencing_token,
           acquired_at, renewed_at, expires_at, ttl, metadata
    FROM locks
    WHERE expires_at > CAST(round(unixepoch('now', 'subsec') * 1000) AS integer) * 1000;

CREATE VIEW stale_locks AS
    SELECT resource_type, resource_id, owner_id, fencing_token,
           acquired_at, renewed_at, expires_at, ttl, metadata
    FROM locks
    WHERE expires_at <= CAST(round(unixepoch('now', 'subsec') * 1000) AS integer) * 1000;
