-- Waiting in line, and what watchers are told.
--
-- Who waits for a resource stands in lock_waiters. Everything about a queue is
-- read and changed under the lock of the resource's row in locks, by the
-- functions below: each of their statements sees the queue as it is once that
-- lock is granted, where one large statement would see it as it was before it
-- waited. The statements that carry out ordinary commands pass by rows that
-- somebody waits for.

-- How many wait: places in line that are neither granted nor cancelled.
ALTER TABLE locks ADD COLUMN waiters integer NOT NULL DEFAULT 0;
-- What is waited for: to find what has run out, and what an owner has of it.
CREATE INDEX locks_waited_for ON locks (resource_type, resource_id) WHERE waiters > 0;
CREATE INDEX locks_waited_for_by_owner ON locks (owner_id) WHERE waiters > 0;
-- So that these are known to be nearly empty. Of an empty table nothing is better
-- known: plans that are made for it last.
DO $$
BEGIN
    IF EXISTS (SELECT FROM locks) THEN
        ANALYZE locks;
    END IF;
END $$;

-- Each server at which somebody waits, or did a moment ago.
CREATE TABLE lock_servers (
    -- One process is one server; a restart is another one.
    server      uuid        PRIMARY KEY,
    -- Until when its places are kept, unless it says again that it is there.
    alive_until timestamptz NOT NULL,
    -- It has sent its callers elsewhere, and takes nothing for them.
    stopping    boolean     NOT NULL DEFAULT false
);

-- A place in line for each resource and owner, however many calls share it.
CREATE TABLE lock_waiters (
    resource_type text        COLLATE "C" NOT NULL,
    resource_id   text        COLLATE "C" NOT NULL,
    owner_id      text        COLLATE "C" NOT NULL,
    -- The order of arrival.
    place         bigint      GENERATED ALWAYS AS IDENTITY,
    arrived_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    waits_until   timestamptz NOT NULL,
    -- What is asked for.
    ttl           interval    NOT NULL,
    metadata      jsonb       NOT NULL DEFAULT '{}',
    -- Where the calls are.
    servers       uuid[]      NOT NULL,
    -- The token under which the lock was granted, until a server has taken it
    -- for the call.
    granted_token bigint,
    -- Taken out of line by ReleaseAll, until a server has told the call.
    cancelled     boolean     NOT NULL DEFAULT false,
    CONSTRAINT lock_waiters_pkey PRIMARY KEY (resource_type, resource_id, owner_id),
    CONSTRAINT lock_waiters_settled_once CHECK (granted_token IS NULL OR NOT cancelled)
);
CREATE INDEX lock_waiters_in_line ON lock_waiters (resource_type, resource_id, place)
    WHERE granted_token IS NULL AND NOT cancelled;
CREATE INDEX lock_waiters_settled ON lock_waiters (resource_type, resource_id)
    WHERE granted_token IS NOT NULL OR cancelled;
-- An owner's places, for ReleaseAll and for deadlocks.
CREATE INDEX lock_waiters_by_owner ON lock_waiters (owner_id);
ALTER TABLE lock_waiters SET (
    -- A queue: every row is soon dead.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE lock_servers SET (fillfactor = 50);

-- Until when what happens to locks is written to lock_changes: while somebody
-- watches, a server says so again and again. It stands here because who grants
-- reads this row anyway.
--
-- Compared with statement_timestamp(), which is from before the statement's
-- snapshot: a statement that sees it over began when it was over.
ALTER TABLE fencing_epoch
    ADD COLUMN watched_until  timestamptz NOT NULL DEFAULT '-infinity',
    -- The same for renewals that make a lease longer.
    ADD COLUMN renewals_until timestamptz NOT NULL DEFAULT '-infinity';

-- The token of the last hold of which watchers were told that it ran out.
ALTER TABLE locks ADD COLUMN expiry_told bigint;

-- What happened to locks, for less than a minute: each written in the
-- transaction in which it happened, while it had the row's lock, so in order for
-- each resource.
CREATE TABLE lock_changes (
    -- Tells whether a snapshot has seen it.
    xid           xid8        NOT NULL DEFAULT pg_current_xact_id(),
    change_id     bigint      GENERATED ALWAYS AS IDENTITY,
    changed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind          text        COLLATE "C" NOT NULL,
    -- The lock as it is after a grant or a renewal, as it was before anything
    -- that ended it.
    resource_type text        COLLATE "C" NOT NULL,
    resource_id   text        COLLATE "C" NOT NULL,
    owner_id      text        COLLATE "C" NOT NULL,
    fencing_token bigint      NOT NULL,
    acquired_at   timestamptz NOT NULL,
    renewed_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    ttl           interval    NOT NULL,
    metadata      jsonb       NOT NULL,
    waiters       integer     NOT NULL,
    CONSTRAINT lock_changes_pkey PRIMARY KEY (xid, change_id),
    CONSTRAINT lock_changes_kind CHECK (kind IN
        ('ACQUIRED', 'RENEWED', 'RELEASED', 'EXPIRED', 'TAKEN_OVER', 'FORCE_RELEASED', 'PURGED'))
);
ALTER TABLE lock_changes SET (
    -- Every row is soon dead.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);

-- Writes down what happened to a lock, if anybody watches. That its lease had
-- run out is told first, once.
CREATE FUNCTION lock_changed(what text, l locks) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM fencing_epoch e WHERE e.watched_until > statement_timestamp()) THEN
        INSERT INTO lock_changes (kind, resource_type, resource_id, owner_id, fencing_token,
                                  acquired_at, renewed_at, expires_at, ttl, metadata, waiters)
        SELECT k.kind, l.resource_type, l.resource_id, l.owner_id, l.fencing_token,
               l.acquired_at, l.renewed_at, l.expires_at, l.ttl, l.metadata, l.waiters
        FROM (VALUES (1, 'EXPIRED'), (2, what)) AS k (place, kind)
        WHERE CASE WHEN k.place = 1
                   THEN what NOT IN ('ACQUIRED', 'TAKEN_OVER')
                        AND l.expires_at <= clock_timestamp()
                        AND l.expiry_told IS DISTINCT FROM l.fencing_token
                   ELSE what <> 'EXPIRED' END
        ORDER BY k.place;
    END IF;
END $$;

-- How a statement that tells nobody of what it does says that somebody watches:
-- it does nothing, and is to be replaced by one that tells.
CREATE FUNCTION lock_watched() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'somebody watches' USING ERRCODE = 'LS002';
END $$;

-- Grants a resource, whose row the caller has locked and whose hold it has
-- found to be over, to the first in line who is still there: their place, or
-- null when nobody is. Nobody there: the resource is free, or as it was.
--
-- A place of the server that asks (here) is taken with the grant: it has the
-- call, and the place that is returned has that server. Of another server's, and
-- of one that servers share, the grant stands in the row until one of them has
-- taken it, and they are notified.
--
-- Raises LS001 when the epoch is not that of the database's history.
CREATE FUNCTION lock_grant_next(
    l locks, frees boolean, here uuid, knows_timeline boolean
) RETURNS lock_waiters
LANGUAGE plpgsql AS $$
DECLARE
    w       lock_waiters;
    e       fencing_epoch;
    granted locks;
    moment  timestamptz;
    dropped integer := 0;
    -- Those that were dropped are not looked at again: there may be thousands.
    after   bigint := 0;
    server  uuid;
BEGIN
    SELECT * INTO e FROM fencing_epoch;
    IF knows_timeline AND e.timeline
        <> ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint THEN
        RAISE EXCEPTION 'the fencing epoch is of another history' USING ERRCODE = 'LS001';
    END IF;
    LOOP
        SELECT * INTO w FROM lock_waiters q
        WHERE q.resource_type = l.resource_type AND q.resource_id = l.resource_id
          AND q.granted_token IS NULL AND NOT q.cancelled AND q.place > after
        ORDER BY q.resource_type, q.resource_id, q.place
        LIMIT 1;
        moment := clock_timestamp();
        IF NOT FOUND THEN
            IF frees THEN
                UPDATE locks t
                SET expires_at = NULL, freed_at = moment, metadata = '{}', waiters = 0
                WHERE t.resource_type = l.resource_type AND t.resource_id = l.resource_id;
            ELSE
                UPDATE locks t SET waiters = 0
                WHERE t.resource_type = l.resource_type AND t.resource_id = l.resource_id;
            END IF;
            RETURN NULL;
        END IF;
        -- Who asks is there, whenever it last said so.
        EXIT WHEN w.waits_until > moment AND (coalesce(here = ANY (w.servers), false) OR EXISTS (
            SELECT FROM lock_servers s
            WHERE s.server = ANY (w.servers) AND s.alive_until > moment));
        after := w.place;
        DELETE FROM lock_waiters q
        WHERE q.resource_type = w.resource_type AND q.resource_id = w.resource_id
          AND q.owner_id = w.owner_id;
        dropped := dropped + 1;
    END LOOP;
    UPDATE locks t
    SET owner_id = w.owner_id,
        fencing_token = greatest(t.fencing_token + 1, e.token_floor + 1,
            (date_part('epoch', moment) * 1000000)::bigint + e.epoch * 86400000000),
        acquired_at = moment, renewed_at = moment, expires_at = moment + w.ttl, freed_at = NULL,
        ttl = w.ttl, reentries = 0, metadata = w.metadata,
        sweep_at = least(t.sweep_at, moment + w.ttl),
        waiters = greatest(t.waiters - dropped - 1, 0)
    WHERE t.resource_type = l.resource_type AND t.resource_id = l.resource_id
    RETURNING * INTO granted;
    IF here = ANY (w.servers) AND cardinality(lock_others(w.servers, here)) = 0 THEN
        DELETE FROM lock_waiters q
        WHERE q.resource_type = w.resource_type AND q.resource_id = w.resource_id
          AND q.owner_id = w.owner_id;
        w.servers := ARRAY[here];
    ELSE
        UPDATE lock_waiters q SET granted_token = granted.fencing_token
        WHERE q.resource_type = w.resource_type AND q.resource_id = w.resource_id
          AND q.owner_id = w.owner_id;
        FOREACH server IN ARRAY w.servers LOOP
            PERFORM lock_notify(server, w);
        END LOOP;
        w.servers := '{}';
    END IF;
    IF l.expires_at <= moment AND NOT frees THEN
        INSERT INTO lock_events (event_time, kind, resource_type, resource_id, owner_id,
                                 fencing_token, actor)
        VALUES (moment, 'TAKEN_OVER', l.resource_type, l.resource_id, l.owner_id,
                l.fencing_token, w.owner_id);
        PERFORM lock_changed('EXPIRED', l);
        PERFORM lock_changed('TAKEN_OVER', granted);
    ELSE
        PERFORM lock_changed('ACQUIRED', granted);
    END IF;
    RETURN w;
END $$;

-- Tells a server that something has become of one who waits there. Ids have no
-- control characters, so a line each is unambiguous.
CREATE FUNCTION lock_notify(server uuid, w lock_waiters) RETURNS void
LANGUAGE sql AS $$
    SELECT pg_notify('lock_server_' || replace(server::text, '-', ''),
        w.resource_type || E'\n' || w.resource_id || E'\n' || w.owner_id)
$$;

-- The servers of a place other than one, as far as calls may be there.
CREATE FUNCTION lock_others(servers uuid[], here uuid) RETURNS uuid[]
LANGUAGE sql AS $$
    SELECT ARRAY(
        SELECT s.server FROM lock_servers s
        WHERE s.server = ANY (servers) AND s.server <> here AND s.alive_until > clock_timestamp()
          AND NOT s.stopping)
$$;

-- Puts an owner in line, or says how its place stands:
--   granted    it holds the lock, by the grant of its place
--   waiting    it is in line
--   full       so many wait that no more may
--   retry      nobody waits for that resource or it is its own: acquire it
-- and to one who asks again, which never puts it in line anew:
--   cancelled  ReleaseAll has taken it out of line
--   gone       it has no place any more
--   own        nor that, and its owner holds the lock
-- What has run out is handed on on the way: by which place, if its call is here.
CREATE FUNCTION lock_ask(
    of_type text, of_id text, of_owner text, new_ttl interval, new_metadata jsonb,
    wait interval, again boolean, most integer, here uuid, grace interval,
    knows_timeline boolean, OUT state text, OUT place bigint, OUT may_close_circle boolean,
    OUT handed bigint, OUT l locks
)
LANGUAGE plpgsql AS $$
DECLARE
    w      lock_waiters;
    first  lock_waiters;
    others uuid[];
    moment timestamptz;
BEGIN
    may_close_circle := false;
    SELECT * INTO l FROM locks t
    WHERE t.resource_type = of_type AND t.resource_id = of_id
    FOR UPDATE;
    IF NOT FOUND THEN
        state := CASE WHEN again THEN 'gone' ELSE 'retry' END;
        RETURN;
    END IF;
    SELECT * INTO w FROM lock_waiters q
    WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
    moment := clock_timestamp();
    place := w.place;
    others := lock_others(w.servers, here);
    IF w.cancelled AND again AND cardinality(others) > 0 THEN
        -- Their calls are to hear of it, too.
        UPDATE lock_waiters q SET servers = others
        WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
        state := 'cancelled';
        RETURN;
    END IF;
    IF l.owner_id = of_owner AND l.fencing_token = w.granted_token AND l.expires_at > moment
       AND cardinality(others) > 0 THEN
        -- Their calls may take it, too. That it was taken is told by the count.
        UPDATE lock_waiters q SET servers = others
        WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
        UPDATE locks t SET reentries = t.reentries + 1
        WHERE t.resource_type = of_type AND t.resource_id = of_id
        RETURNING * INTO l;
        state := 'granted';
        RETURN;
    END IF;
    IF w.granted_token IS NOT NULL OR w.cancelled THEN
        DELETE FROM lock_waiters q
        WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
        IF w.cancelled AND again THEN
            state := 'cancelled';
            RETURN;
        END IF;
        IF l.owner_id = of_owner AND l.fencing_token = w.granted_token
           AND l.expires_at > moment THEN
            state := 'granted';
            RETURN;
        END IF;
        w := NULL;
    END IF;
    IF w.place IS NULL AND again THEN
        state := CASE WHEN l.owner_id = of_owner AND l.expires_at > moment THEN 'own'
                      ELSE 'gone' END;
        RETURN;
    END IF;
    IF l.owner_id = of_owner AND l.expires_at > moment THEN
        state := 'retry';
        RETURN;
    END IF;
    IF w.place IS NULL THEN
        IF l.waiters >= most THEN
            state := 'full';
            RETURN;
        END IF;
        INSERT INTO lock_waiters (resource_type, resource_id, owner_id, waits_until, ttl,
                                  metadata, servers)
        VALUES (of_type, of_id, of_owner, moment + wait, new_ttl,
                coalesce(new_metadata, '{}'), ARRAY[here])
        RETURNING * INTO w;
        place := w.place;
        UPDATE locks t SET waiters = t.waiters + 1
        WHERE t.resource_type = of_type AND t.resource_id = of_id
        RETURNING * INTO l;
    ELSE
        UPDATE lock_waiters q
        SET waits_until = greatest(q.waits_until, moment + wait), ttl = new_ttl,
            metadata = coalesce(new_metadata, '{}'),
            servers = here || others
        WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
    END IF;
    -- A place counts for as long as its server is there: from the first one on.
    IF NOT EXISTS (SELECT FROM lock_servers s
                   WHERE s.server = here AND s.alive_until > moment + grace / 2) THEN
        INSERT INTO lock_servers (server, alive_until) VALUES (here, moment + grace)
        ON CONFLICT (server) DO UPDATE SET alive_until = excluded.alive_until;
    END IF;
    state := 'waiting';
    IF l.expires_at IS NULL OR l.expires_at <= moment THEN
        first := lock_grant_next(l, false, here, knows_timeline);
        SELECT * INTO l FROM locks t WHERE t.resource_type = of_type AND t.resource_id = of_id;
        IF first.place = w.place THEN
            DELETE FROM lock_waiters q
            WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
            state := 'granted';
            RETURN;
        END IF;
        IF here = ANY (first.servers) THEN
            handed := first.place;
        END IF;
    END IF;
    may_close_circle := EXISTS (
        SELECT FROM locks h
        WHERE h.owner_id = of_owner AND h.waiters > 0 AND h.expires_at > moment);
END $$;

-- Ends an owner's hold of a resource that somebody waits for, and hands it on:
-- whether the lease was live, null when there was no such hold. Whether who
-- has it now waits here: its place, and the row as it is then.
CREATE FUNCTION lock_release(
    of_type text, of_id text, of_owner text, of_token bigint, here uuid, knows_timeline boolean,
    OUT ended boolean, OUT handed bigint, OUT l locks
)
LANGUAGE plpgsql AS $$
DECLARE
    first lock_waiters;
BEGIN
    SELECT * INTO l FROM locks t
    WHERE t.resource_type = of_type AND t.resource_id = of_id
    FOR UPDATE;
    IF l.owner_id = of_owner AND l.expires_at IS NOT NULL
       AND (of_token IS NULL OR l.fencing_token = of_token) THEN
        ended := l.expires_at > clock_timestamp();
        PERFORM lock_changed('RELEASED', l);
        first := lock_grant_next(l, true, here, knows_timeline);
        IF here = ANY (first.servers) THEN
            handed := first.place;
        END IF;
        SELECT * INTO l FROM locks t WHERE t.resource_type = of_type AND t.resource_id = of_id;
    END IF;
END $$;

-- Takes an owner out of line. With a token: what was granted under it was not
-- taken by anybody, and is handed on, unless its owner has been heard of since.
-- So is what was granted to its place, where nobody is there; where somebody is,
-- the caller takes that, and is told so.
CREATE FUNCTION lock_leave(
    of_type text, of_id text, of_owner text, of_token bigint, nobody boolean, here uuid,
    knows_timeline boolean, OUT taken boolean, OUT handed bigint, OUT l locks
)
LANGUAGE plpgsql AS $$
DECLARE
    w      lock_waiters;
    first  lock_waiters;
    others uuid[];
BEGIN
    taken := false;
    SELECT * INTO l FROM locks t
    WHERE t.resource_type = of_type AND t.resource_id = of_id
    FOR UPDATE;
    SELECT * INTO w FROM lock_waiters q
    WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
    IF of_token IS NULL THEN
        IF w.place IS NULL OR NOT coalesce(here = ANY (w.servers), false) THEN
            RETURN;
        END IF;
        others := lock_others(w.servers, here);
        IF cardinality(others) > 0 THEN
            -- Their calls share the place, whatever has become of it.
            UPDATE lock_waiters q SET servers = others
            WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
            RETURN;
        END IF;
        IF nobody THEN
            of_token := w.granted_token;
        END IF;
    ELSIF w.granted_token = of_token AND cardinality(lock_others(w.servers, here)) > 0 THEN
        -- Calls at other servers may still take it: as if it was never taken here.
        UPDATE locks t SET reentries = greatest(t.reentries - 1, 0)
        WHERE t.resource_type = of_type AND t.resource_id = of_id
          AND t.fencing_token = of_token;
        RETURN;
    END IF;
    IF of_token IS NOT NULL THEN
        IF w.granted_token = of_token THEN
            DELETE FROM lock_waiters q
            WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
        END IF;
        IF l.owner_id = of_owner AND l.fencing_token = of_token AND l.expires_at IS NOT NULL
           AND l.reentries = 0 AND l.renewed_at = l.acquired_at THEN
            PERFORM lock_changed('RELEASED', l);
            first := lock_grant_next(l, true, here, knows_timeline);
            IF here = ANY (first.servers) THEN
                handed := first.place;
            END IF;
            SELECT * INTO l FROM locks t
            WHERE t.resource_type = of_type AND t.resource_id = of_id;
        END IF;
        RETURN;
    END IF;
    DELETE FROM lock_waiters q
    WHERE q.resource_type = of_type AND q.resource_id = of_id AND q.owner_id = of_owner;
    IF w.granted_token IS NULL AND NOT w.cancelled THEN
        UPDATE locks t SET waiters = greatest(t.waiters - 1, 0)
        WHERE t.resource_type = of_type AND t.resource_id = of_id
        RETURNING * INTO l;
    END IF;
    taken := coalesce(l.fencing_token = w.granted_token AND l.owner_id = of_owner
        AND l.expires_at > clock_timestamp(), false);
END $$;

-- Hands on a resource whose lease has run out: the place of who has it now, if
-- the call is here, and the row as it is then.
CREATE FUNCTION lock_hand_on(
    of_type text, of_id text, here uuid, knows_timeline boolean,
    OUT handed bigint, OUT l locks
)
LANGUAGE plpgsql AS $$
DECLARE
    first lock_waiters;
BEGIN
    SELECT * INTO l FROM locks t
    WHERE t.resource_type = of_type AND t.resource_id = of_id
    FOR UPDATE;
    IF l.waiters > 0 AND (l.expires_at IS NULL OR l.expires_at <= clock_timestamp()) THEN
        first := lock_grant_next(l, false, here, knows_timeline);
        IF here = ANY (first.servers) THEN
            handed := first.place;
        END IF;
        SELECT * INTO l FROM locks t WHERE t.resource_type = of_type AND t.resource_id = of_id;
    END IF;
END $$;

-- Breaks a hold, if it is still that of the token, hands the resource on, and
-- writes down what became of it: whether it was broken, null when the resource
-- was free, and the lock as it was.
CREATE FUNCTION lock_force_release(
    of_type text, of_id text, of_token bigint, trail_token bigint, by_actor text, why text,
    knows_timeline boolean, OUT broken boolean, OUT l locks, OUT moment timestamptz
)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT * INTO l FROM locks t
    WHERE t.resource_type = of_type AND t.resource_id = of_id
    FOR UPDATE;
    moment := clock_timestamp();
    IF l.expires_at IS NULL THEN
        l := NULL;
    ELSE
        broken := l.fencing_token = of_token;
    END IF;
    INSERT INTO lock_events (event_time, kind, resource_type, resource_id, owner_id,
                             fencing_token, actor, reason)
    VALUES (moment, CASE WHEN broken THEN 'FORCE_RELEASED' ELSE 'FORCE_RELEASE_REFUSED' END,
            of_type, of_id, l.owner_id, trail_token, by_actor, why);
    IF broken THEN
        PERFORM lock_changed('FORCE_RELEASED', l);
        PERFORM lock_grant_next(l, true, NULL, knows_timeline);
    END IF;
END $$;

-- Takes an owner out of every queue, for ReleaseAll. What was granted to a
-- place and not taken yet is cancelled, too: the lease itself is for who ends
-- the owner's leases.
CREATE FUNCTION lock_cancel(of_owner text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    place     lock_waiters;
    w         lock_waiters;
    server    uuid;
    cancelled bigint := 0;
BEGIN
    FOR place IN
        SELECT * FROM lock_waiters q
        WHERE q.owner_id = of_owner AND NOT q.cancelled
        ORDER BY q.resource_type, q.resource_id
    LOOP
        PERFORM FROM locks t
        WHERE t.resource_type = place.resource_type AND t.resource_id = place.resource_id
        FOR UPDATE;
        SELECT * INTO w FROM lock_waiters q
        WHERE q.resource_type = place.resource_type AND q.resource_id = place.resource_id
          AND q.owner_id = of_owner AND NOT q.cancelled;
        CONTINUE WHEN NOT FOUND;
        UPDATE lock_waiters q SET cancelled = true, granted_token = NULL
        WHERE q.resource_type = w.resource_type AND q.resource_id = w.resource_id
          AND q.owner_id = of_owner;
        IF w.granted_token IS NULL THEN
            UPDATE locks t SET waiters = greatest(t.waiters - 1, 0)
            WHERE t.resource_type = w.resource_type AND t.resource_id = w.resource_id;
        END IF;
        FOREACH server IN ARRAY w.servers LOOP
            PERFORM lock_notify(server, w);
        END LOOP;
        cancelled := cancelled + 1;
    END LOOP;
    RETURN cancelled;
END $$;

-- Drops the places of servers that are gone (other than the one that asks), and hands on what was granted to
-- them and never taken: of how many resources. What somebody has locked is left
-- for the next time.
CREATE FUNCTION lock_drop_gone(
    most integer, here uuid, knows_timeline boolean
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    moment  timestamptz := clock_timestamp();
    gone    uuid[];
    about   record;
    l       locks;
    w       lock_waiters;
    dropped bigint;
    about_n bigint := 0;
BEGIN
    gone := ARRAY(
        SELECT s.server FROM lock_servers s WHERE s.alive_until <= moment AND s.server <> here);
    IF cardinality(gone) = 0 THEN
        RETURN 0;
    END IF;
    FOR about IN
        SELECT DISTINCT q.resource_type, q.resource_id FROM lock_waiters q
        WHERE q.servers && gone
        ORDER BY q.resource_type, q.resource_id
        LIMIT most
    LOOP
        SELECT * INTO l FROM locks t
        WHERE t.resource_type = about.resource_type AND t.resource_id = about.resource_id
        FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            DELETE FROM lock_waiters q
            WHERE q.resource_type = about.resource_type AND q.resource_id = about.resource_id
              AND q.servers <@ gone
              AND NOT EXISTS (SELECT FROM locks t
                              WHERE t.resource_type = about.resource_type
                                AND t.resource_id = about.resource_id);
            CONTINUE;
        END IF;
        about_n := about_n + 1;
        DELETE FROM lock_waiters q
        WHERE q.resource_type = about.resource_type AND q.resource_id = about.resource_id
          AND q.servers <@ gone AND q.granted_token IS NULL AND NOT q.cancelled;
        GET DIAGNOSTICS dropped = ROW_COUNT;
        UPDATE locks t SET waiters = greatest(t.waiters - dropped, 0)
        WHERE t.resource_type = about.resource_type AND t.resource_id = about.resource_id
          AND dropped > 0
        RETURNING * INTO l;
        IF dropped = 0 THEN
            SELECT * INTO l FROM locks t
            WHERE t.resource_type = about.resource_type AND t.resource_id = about.resource_id;
        END IF;
        FOR w IN
            DELETE FROM lock_waiters q
            WHERE q.resource_type = about.resource_type AND q.resource_id = about.resource_id
              AND q.servers <@ gone AND (q.granted_token IS NOT NULL OR q.cancelled)
            RETURNING *
        LOOP
            IF l.fencing_token = w.granted_token AND l.owner_id = w.owner_id
               AND l.expires_at IS NOT NULL
               AND l.reentries = 0 AND l.renewed_at = l.acquired_at THEN
                PERFORM lock_changed('RELEASED', l);
                PERFORM lock_grant_next(l, true, NULL, knows_timeline);
            END IF;
        END LOOP;
        UPDATE lock_waiters q
        SET servers = ARRAY(SELECT s FROM unnest(q.servers) s WHERE NOT s = ANY (gone))
        WHERE q.resource_type = about.resource_type AND q.resource_id = about.resource_id
          AND q.servers && gone;
    END LOOP;
    DELETE FROM lock_servers s
    WHERE s.server = ANY (gone) AND s.alive_until <= moment
      AND NOT EXISTS (SELECT FROM lock_waiters q WHERE s.server = ANY (q.servers));
    RETURN about_n;
END $$;
