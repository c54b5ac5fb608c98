-- What plan-service keeps. The same tables as in SQLite, but for the types, so
-- that one text of each statement serves both: times are microseconds since
-- 1970 in UTC, ids are UUIDs as text, documents are JSON text. Text that is
-- compared or sorted is so byte by byte.

-- One row for each work tree that is registered.
CREATE TABLE projects (
    name       text   COLLATE "C" NOT NULL,
    -- A path is bytes, and need not be UTF-8.
    path       bytea  NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT projects_pkey PRIMARY KEY (name)
);
-- A path may be longer than an index takes.
CREATE UNIQUE INDEX projects_path_key ON projects (sha256(path));

-- One row for each template.
CREATE TABLE actions (
    -- NAMESPACE/NAME
    name       text   COLLATE "C" NOT NULL,
    namespace  text   COLLATE "C" NOT NULL,
    template   text   NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT actions_pkey PRIMARY KEY (name)
);
CREATE INDEX actions_by_namespace ON actions (namespace, name);

-- One row for each plan. Its document is written as a whole, together with the
-- columns that are searched, and only where fencing_token <= the writer's.
CREATE TABLE plans (
    plan_id          text   COLLATE "C" NOT NULL,
    project          text   COLLATE "C" NOT NULL,
    action           text   COLLATE "C" NOT NULL,
    phase            text   COLLATE "C" NOT NULL,
    state            text   COLLATE "C" NOT NULL,
    document         text   NOT NULL,
    -- The greatest token that has written.
    fencing_token    bigint NOT NULL,
    -- One more with every change.
    version          bigint NOT NULL,
    -- Why somebody wants the run to end, as a JSON string; null if nobody does.
    cancel_requested text,
    created_at       bigint NOT NULL,
    updated_at       bigint NOT NULL,
    CONSTRAINT plans_pkey PRIMARY KEY (plan_id),
    CONSTRAINT plans_token_positive CHECK (fencing_token > 0),
    CONSTRAINT plans_version_positive CHECK (version > 0),
    CONSTRAINT plans_phase CHECK (phase IN ('ACTION', 'STRATEGIZE', 'EXECUTE', 'APPLY')),
    CONSTRAINT plans_state CHECK (state IN ('QUEUED', 'PROCESSING', 'COMPLETE', 'ERRORED',
                                            'CONSTRAINED', 'CANCELLED', 'APPLIED'))
);
CREATE INDEX plans_by_time ON plans (created_at, plan_id);
CREATE INDEX plans_by_project ON plans (project, created_at, plan_id);
CREATE INDEX plans_by_action ON plans (action, created_at, plan_id);
CREATE INDEX plans_by_state ON plans (state, phase, created_at, plan_id);

-- The history of each plan: its changes of phase and state.
CREATE TABLE plan_events (
    plan_id       text   COLLATE "C" NOT NULL,
    -- The plan's version that it came with.
    version       bigint NOT NULL,
    event_time    bigint NOT NULL,
    phase         text   COLLATE "C" NOT NULL,
    state         text   COLLATE "C" NOT NULL,
    -- A JSON document, or null when all is well.
    problem       text,
    fencing_token bigint NOT NULL,
    instance      text   NOT NULL,
    CONSTRAINT plan_events_pkey PRIMARY KEY (plan_id, version),
    -- A write that is repeated, because its outcome was not known, is one event.
    CONSTRAINT plan_events_once UNIQUE (plan_id, fencing_token, event_time, phase, state),
    CONSTRAINT plan_events_plan_fkey FOREIGN KEY (plan_id)
        REFERENCES plans (plan_id) ON DELETE CASCADE
);

-- One row for each changeset.
CREATE TABLE changesets (
    changeset_id  text   COLLATE "C" NOT NULL,
    plan_id       text   COLLATE "C" NOT NULL,
    step          text   COLLATE "C" NOT NULL,
    -- The commit that holds it; null while it is recorded.
    commit_id     text   COLLATE "C",
    -- How many changes it has: the position of the next.
    change_count  bigint NOT NULL DEFAULT 0,
    -- Under which token it was started.
    fencing_token bigint NOT NULL,
    created_at    bigint NOT NULL,
    CONSTRAINT changesets_pkey PRIMARY KEY (changeset_id),
    CONSTRAINT changesets_plan_fkey FOREIGN KEY (plan_id)
        REFERENCES plans (plan_id) ON DELETE CASCADE
);
CREATE INDEX changesets_by_plan ON changesets (plan_id, changeset_id);

-- One row for each changed file.
CREATE TABLE changes (
    changeset_id  text    COLLATE "C" NOT NULL,
    -- From 0 on, without gaps, in the order in which they were recorded.
    position      bigint  NOT NULL,
    kind          text    COLLATE "C" NOT NULL,
    -- Paths in a repository are bytes, and need not be UTF-8.
    path          bytea   NOT NULL,
    old_path      bytea,
    old_mode      text    COLLATE "C" NOT NULL,
    new_mode      text    COLLATE "C" NOT NULL,
    is_binary     boolean NOT NULL,
    added_lines   bigint  NOT NULL,
    removed_lines bigint  NOT NULL,
    CONSTRAINT changes_pkey PRIMARY KEY (changeset_id, position),
    CONSTRAINT changes_kind CHECK (kind IN ('ADDED', 'MODIFIED', 'DELETED', 'RENAMED',
                                            'MODE_CHANGED', 'TYPE_CHANGED')),
    CONSTRAINT changes_changeset_fkey FOREIGN KEY (changeset_id)
        REFERENCES changesets (changeset_id) ON DELETE CASCADE
);

-- The end of what each step and each check of a plan has written.
CREATE TABLE step_outputs (
    plan_id     text    COLLATE "C" NOT NULL,
    -- A check and not a step: their names are apart.
    is_check    boolean NOT NULL,
    name        text    COLLATE "C" NOT NULL,
    -- How much it has written in all.
    total_bytes bigint  NOT NULL,
    tail        bytea   NOT NULL,
    CONSTRAINT step_outputs_pkey PRIMARY KEY (plan_id, is_check, name),
    CONSTRAINT step_outputs_plan_fkey FOREIGN KEY (plan_id)
        REFERENCES plans (plan_id) ON DELETE CASCADE
);
