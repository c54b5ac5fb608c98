-- One row for each resource that was ever locked and has not been pruned.
--
-- A lock is live exactly where expires_at > clock_timestamp(). It is stale
-- where expires_at <= clock_timestamp(). It is free where expires_at is null:
-- a release keeps the row, so that the resource keeps its fencing token.
CREATE TABLE locks (
    -- What is locked. Compared byte for byte, whatever the database's locale.
    resource_type text        COLLATE "C" NOT NULL,
    resource_id   text        COLLATE "C" NOT NULL,
    -- Who holds it, or held it last.
    owner_id      text        COLLATE "C" NOT NULL,
    -- The token of the last grant. Only ever grows.
    fencing_token bigint      NOT NULL,
    -- When the last grant was made, and when it was last extended.
    acquired_at   timestamptz NOT NULL,
    renewed_at    timestamptz NOT NULL,
    -- When the lease runs out; null when the resource is free.
    expires_at    timestamptz,
    -- When the resource became free; null while it is held or stale.
    freed_at      timestamptz,
    -- The time to live as last granted.
    ttl           interval    NOT NULL,
    -- How often the owner asked again while it held the lock.
    reentries     integer     NOT NULL DEFAULT 0,
    -- What the owner says about its hold.
    metadata      jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT locks_pkey PRIMARY KEY (resource_type, resource_id),
    CONSTRAINT locks_token_positive CHECK (fencing_token > 0),
    CONSTRAINT locks_free_or_leased CHECK ((expires_at IS NULL) = (freed_at IS NOT NULL))
);

-- An owner's locks, for ReleaseAll and ListLocks.
CREATE INDEX locks_by_owner ON locks (owner_id) WHERE expires_at IS NOT NULL;
-- Stale locks, oldest first, for the sweeper and ListStale.
CREATE INDEX locks_by_expiry ON locks (expires_at, resource_type, resource_id)
    WHERE expires_at IS NOT NULL;
-- Rows that have been free for long, for the pruner.
CREATE INDEX locks_by_freed ON locks (freed_at) WHERE freed_at IS NOT NULL;

-- From where tokens start for a resource whose row is not there, because it
-- was pruned or because a failover or a restore lost it. Always one row.
CREATE TABLE fencing_epoch (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- The database cluster and its write-ahead-log timeline that the epoch
    -- belongs to. A promotion, a point-in-time recovery and a move to another
    -- cluster change them.
    cluster     text    NOT NULL DEFAULT '',
    timeline    bigint  NOT NULL DEFAULT 0,
    -- Goes up whenever that happens. Each epoch lifts new tokens by a day.
    epoch       bigint  NOT NULL DEFAULT 0,
    -- The greatest token of any row that was ever pruned.
    token_floor bigint  NOT NULL DEFAULT 0
);
INSERT INTO fencing_epoch DEFAULT VALUES;

-- What is locked now.
CREATE VIEW held_locks AS
    SELECT resource_type, resource_id, owner_id, fencing_token,
           acquired_at, renewed_at, expires_at, ttl, metadata
    FROM locks
    WHERE expires_at > clock_timestamp();

-- Leases that ran out and that nobody has released, taken over or purged.
CREATE VIEW stale_locks AS
    SELECT resource_type, resource_id, owner_id, fencing_token,
           acquired_at, renewed_at, expires_at, ttl, metadata
    FROM locks
    WHERE expires_at <= clock_timestamp();
