-- What plan-service keeps. The same tables as in Postgres, but for the types, so
-- that one text of each statement serves both: times are microseconds since
-- 1970 in UTC, ids are UUIDs as text, documents are JSON text. SQLite compares
-- and sorts text byte by byte.

-- One row for each work tree that is registered.
CREATE TABLE projects (
    name       text    NOT NULL,
    -- A path is bytes, and need not be UTF-8.
    path       blob    NOT NULL,
    created_at integer NOT NULL,
    CONSTRAINT projects_pkey PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX projects_path_key ON projects (path);

-- One row for each template.
CREATE TABLE actions (
    -- NAMESPACE/NAME
    name       text    NOT NULL,
    namespace  text    NOT NULL,
    template   text    NOT NULL,
    created_at integer NOT NULL,
    CONSTRAINT actions_pkey PRIMARY KEY (name)
) STRICT;
CREATE INDEX actions_by_namespace ON actions (namespace, name);

-- One row for each plan. Its document is written as a whole, together with the
-- columns that are searched, and only where fencing_token <= the writer's.
CREATE TABLE plans (
    plan_id          text    NOT NULL,
    project          text    NOT NULL,
    action           text    NOT NULL,
    phase            text    NOT NULL,
    state            text    NOT NULL,
    document         text    NOT NULL,
    -- The greatest token that has written.
    fencing_token    integer NOT NULL,
    -- One more with every change.
    version          integer NOT NULL,
    -- Why somebody wants the run to end, as a JSON string; null if nobody does.
    cancel_requested text,
    created_at       integer NOT NULL,
    updated_at       integer NOT NULL,
    CONSTRAINT plans_pkey PRIMARY KEY (plan_id),
    CONSTRAINT plans_token_positive CHECK (fencing_token > 0),
    CONSTRAINT plans_version_positive CHECK (version > 0),
    CONSTRAINT plans_phase CHECK (phase IN ('ACTION', 'STRATEGIZE', 'EXECUTE', 'APPLY')),
    CONSTRAINT plans_state CHECK (state IN ('QUEUED', 'PROCESSING', 'COMPLETE', 'ERRORED',
                                            'CONSTRAINED', 'CANCELLED', 'APPLIED'))
) STRICT;
CREATE INDEX plans_by_time ON plans (created_at, plan_id);
CREATE INDEX plans_by_project ON plans (project, created_at, plan_id);
CREATE INDEX plans_by_action ON plans (action, created_at, plan_id);
CREATE INDEX plans_by_state ON plans (state, phase, created_at, plan_id);

-- The history of each plan: its changes of phase and state.
CREATE TABLE plan_events (
    plan_id       text    NOT NULL,
    -- The plan's version that it came with.
    version       integer NOT NULL,
    event_time    integer NOT NULL,
    phase         text    NOT NULL,
    state         text    NOT NULL,
    -- A JSON document, or null when all is well.
    problem       text,
    fencing_token integer NOT NULL,
    instance      text    NOT NULL,
    CONSTRAINT plan_events_pkey PRIMARY KEY (plan_id, version),
    -- A write that is repeated, because its outcome was not known, is one event.
    CONSTRAINT plan_events_once UNIQUE (plan_id, fencing_token, event_time, phase, state),
    CONSTRAINT plan_events_plan_fkey FOREIGN KEY (plan_id)
        REFERENCES plans (plan_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- One row for each changeset.
CREATE TABLE changesets (
    changeset_id  text    NOT NULL,
    plan_id       text    NOT NULL,
    step          text    NOT NULL,
    -- The commit that holds it; null while it is recorded.
    commit_id     text,
    -- How many changes it has: the position of the next.
    change_count  integer NOT NULL DEFAULT 0,
    -- Under which token it was started.
    fencing_token integer NOT NULL,
    created_at    integer NOT NULL,
    CONSTRAINT changesets_pkey PRIMARY KEY (changeset_id),
    CONSTRAINT changesets_plan_fkey FOREIGN KEY (plan_id)
        REFERENCES plans (plan_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX changesets_by_plan ON changesets (plan_id, changeset_id);

-- One row for each changed file.
CREATE TABLE changes (
    changeset_id  text    NOT NULL,
    -- From 0 on, without gaps, in the order in which they were recorded.
    position      integer NOT NULL,
    kind          text    NOT NULL,
    -- Paths in a repository are bytes, and need not be UTF-8.
    path          blob    NOT NULL,
    old_path      blob,
    old_mode      text    NOT NULL,
    new_mode      text    NOT NULL,
    is_binary     integer NOT NULL,
    added_lines   integer NOT NULL,
    removed_lines integer NOT NULL,
    CONSTRAINT changes_is_binary CHECK (is_binary IN (0, 1)),
    CONSTRAINT changes_pkey PRIMARY KEY (changeset_id, position),
    CONSTRAINT changes_kind CHECK (kind IN ('ADDED', 'MODIFIED', 'DELETED', 'RENAMED',
                                            'MODE_CHANGED', 'TYPE_CHANGED')),
    CONSTRAINT changes_changeset_fkey FOREIGN KEY (changeset_id)
        REFERENCES changesets (changeset_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The end of what each step and each check of a plan has written.
CREATE TABLE step_outputs (
    plan_id     text    NOT NULL,
    -- A check and not a step: their names are apart.
    is_check    integer NOT NULL,
    name        text    NOT NULL,
    -- How much it has written in all.
    total_bytes integer NOT NULL,
    tail        blob    NOT NULL,
    CONSTRAINT step_outputs_is_check CHECK (is_check IN (0, 1)),
    CONSTRAINT step_outputs_pkey PRIMARY KEY (plan_id, is_check, name),
    CONSTRAINT step_outputs_plan_fkey FOREIGN KEY (plan_id)
        REFERENCES plans (plan_id) ON DELETE CASCADE
) STRICT;
