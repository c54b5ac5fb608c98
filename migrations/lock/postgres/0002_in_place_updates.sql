-- Lets grants, renewals and releases update a row in place: Postgres does so
-- only where no indexed column changes, so no index may stand on what every
-- one of them changes.
--
-- sweep_at is a lower bound: nobody who looks for stale or long-free rows need
-- look at this one before. A grant or a renewal only ever lowers it (to its
-- expiry, where that is sooner), which is rare; the sweeper moves it forward
-- when it has come. The default is "look at once", which is always right.
--
-- Who makes expires_at sooner by hand sets sweep_at to '-infinity' with it.
ALTER TABLE locks ADD COLUMN sweep_at timestamptz NOT NULL DEFAULT '-infinity';

-- Whether the last lease was live when it was released: an update can tell what
-- it found only by writing it down.
ALTER TABLE locks ADD COLUMN ended_live boolean NOT NULL DEFAULT false;

DROP INDEX locks_by_owner;
DROP INDEX locks_by_expiry;
DROP INDEX locks_by_freed;

-- An owner's locks, for ReleaseAll and ListLocks. It also has the free rows
-- that the owner held last, until the sweeper has taken the name out of them:
-- a partial index would name expires_at, and so be one on it.
CREATE INDEX locks_by_owner ON locks (owner_id);
-- What may be stale or free for long, for the sweeper and ListStale.
CREATE INDEX locks_by_sweep ON locks (sweep_at);

ALTER TABLE locks SET (
    -- Room in each page for the next versions of its rows.
    fillfactor = 70,
    -- Every version of a row is dead within moments: vacuum often and little,
    -- and never wait in between.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);
