-- Waiting in line. The same as in Postgres, but for what only several servers
-- need: one process is the only server of a file, so a place is at one server,
-- this one or one of before, and nobody is notified.
--
-- Who waits for a resource stands in lock_waiters; it is granted in the
-- transaction that ends the hold.

-- How many wait: places in line that are neither granted nor cancelled.
ALTER TABLE locks ADD COLUMN waiters integer NOT NULL DEFAULT 0;

-- The token of the last hold of which watchers were told that it ran out.
ALTER TABLE locks ADD COLUMN expiry_told integer;

-- What is waited for, by who holds it, for deadlocks.
CREATE INDEX locks_waited_for ON locks (owner_id) WHERE waiters > 0;

-- Each process at which somebody waits, or did a moment ago.
CREATE TABLE lock_servers (
    -- One process is one server; a restart is another one.
    server      text    NOT NULL PRIMARY KEY,
    -- Until when its places are kept, unless it says again that it is there.
    alive_until integer NOT NULL
) STRICT;

-- A place in line for each resource and owner, however many calls share it.
CREATE TABLE lock_waiters (
    -- The order of arrival.
    place         integer PRIMARY KEY AUTOINCREMENT,
    resource_type text    NOT NULL,
    resource_id   text    NOT NULL,
    owner_id      text    NOT NULL,
    arrived_at    integer NOT NULL,
    waits_until   integer NOT NULL,
    -- What is asked for.
    ttl           integer NOT NULL,
    metadata      text    NOT NULL DEFAULT '{}',
    -- Where the calls are.
    server        text    NOT NULL,
    -- The token under which the lock was granted, until a server has taken it
    -- for the call.
    granted_token integer,
    -- Taken out of line by ReleaseAll, until a server has told the call.
    cancelled     integer NOT NULL DEFAULT 0,
    CONSTRAINT lock_waiters_once UNIQUE (resource_type, resource_id, owner_id),
    CONSTRAINT lock_waiters_settled_once CHECK (granted_token IS NULL OR NOT cancelled)
) STRICT;
CREATE INDEX lock_waiters_in_line ON lock_waiters (resource_type, resource_id, place)
    WHERE granted_token IS NULL AND NOT cancelled;
CREATE INDEX lock_waiters_settled ON lock_waiters (server)
    WHERE granted_token IS NOT NULL OR cancelled;
-- An owner's places, for ReleaseAll and for deadlocks.
CREATE INDEX lock_waiters_by_owner ON lock_waiters (owner_id);
