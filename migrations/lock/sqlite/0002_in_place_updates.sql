-- Makes a grant, a renewal and a release cheap: the table becomes an ordinary
-- one, found by its key once and then changed by its rowid, and fewer indexes
-- stand on what every one of them changes. Beside this, columns, constraints
-- and views are as they were.
--
-- not_free_before is a lower bound: the resource has not been free since
-- before this moment. So who looks for resources that have been free for long
-- need not look at the rows above. Only the sweeper moves it forward. The
-- default is "look at it", which is always right.
DROP VIEW held_locks;
DROP VIEW stale_locks;
ALTER TABLE locks RENAME TO locks_0001;

CREATE TABLE locks (
    resource_type   text    NOT NULL,
    resource_id     text    NOT NULL,
    owner_id        text    NOT NULL,
    fencing_token   integer NOT NULL,
    acquired_at     integer NOT NULL,
    renewed_at      integer NOT NULL,
    -- Null when the resource is free.
    expires_at      integer,
    -- Null while the lock is held or stale.
    freed_at        integer,
    ttl             integer NOT NULL,
    reentries       integer NOT NULL DEFAULT 0,
    metadata        text    NOT NULL DEFAULT '{}',
    not_free_before integer NOT NULL DEFAULT 0,
    CONSTRAINT locks_pkey PRIMARY KEY (resource_type, resource_id),
    CONSTRAINT locks_token_positive CHECK (fencing_token > 0),
    CONSTRAINT locks_free_or_leased CHECK ((expires_at IS NULL) = (freed_at IS NOT NULL))
) STRICT;

INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at, renewed_at,
                   expires_at, freed_at, ttl, reentries, metadata)
    SELECT resource_type, resource_id, owner_id, fencing_token, acquired_at, renewed_at,
           expires_at, freed_at, ttl, reentries, metadata
    FROM locks_0001;
DROP TABLE locks_0001;

-- "Not free" is said by freed_at, which a renewal does not change.
CREATE INDEX locks_by_owner ON locks (owner_id) WHERE freed_at IS NULL;
CREATE INDEX locks_by_expiry ON locks (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX locks_by_freed ON locks (not_free_before);

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
