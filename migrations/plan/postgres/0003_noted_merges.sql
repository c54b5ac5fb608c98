-- The merge of a plan that is noted in its document, as JSON, null if none is: so
-- that those of a project are found without reading its plans.
ALTER TABLE plans ADD COLUMN merge text;
-- Postgres reads no document with a NUL in its text: such a plan's is noted when it
-- is next written.
UPDATE plans SET merge = CASE WHEN position('\u0000' in document) = 0 THEN document::json ->> 'merge' END;
CREATE INDEX plans_by_merge ON plans (project)
    WHERE merge IS NOT NULL AND state IN ('PROCESSING', 'ERRORED');
