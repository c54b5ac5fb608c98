-- Of which run an output is: a step that runs again writes from its beginning.
-- What is there already is of a run before any.
ALTER TABLE step_outputs ADD COLUMN fencing_token integer NOT NULL DEFAULT 0;
