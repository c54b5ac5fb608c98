-- The audit trail: what happened to locks that is not the ordinary acquire,
-- renew and release. Written in the transaction that makes the change. Times
-- are microseconds since 1970 in UTC.
CREATE TABLE lock_events (
    -- Grows with every event, and is never used again.
    event_id      integer PRIMARY KEY AUTOINCREMENT,
    event_time    integer NOT NULL,
    kind          text    NOT NULL,
    -- Null for a purge, which is about many.
    resource_type text,
    resource_id   text,
    -- Whose lock it was; null when there was none, and for a purge.
    owner_id      text,
    -- The token of that hold; of a refusal, the one that was asked for (which
    -- may be any number of 64 bits: above 2^63 it shows as a negative one).
    fencing_token integer,
    -- Who did it, and what they said why.
    actor         text    NOT NULL,
    reason        text    NOT NULL DEFAULT '',
    -- How many locks it was about.
    count         integer NOT NULL DEFAULT 1,
    CONSTRAINT lock_events_kind CHECK
        (kind IN ('TAKEN_OVER', 'FORCE_RELEASED', 'FORCE_RELEASE_REFUSED', 'PURGED'))
) STRICT;

-- Whether a very hold was broken: asked for each that is not there any more.
CREATE INDEX lock_events_forced ON lock_events (resource_type, resource_id, fencing_token)
    WHERE kind = 'FORCE_RELEASED';
CREATE INDEX lock_events_by_time ON lock_events (event_time, event_id);
CREATE INDEX lock_events_by_resource
    ON lock_events (resource_type, resource_id, event_time, event_id);
