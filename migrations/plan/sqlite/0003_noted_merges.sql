-- The merge of a plan that is noted in its document, as JSON, null if none is: so
-- that those of a project are found without reading its plans.
ALTER TABLE plans ADD COLUMN merge text;
UPDATE plans SET merge = json_extract(document, '$.merge');
CREATE INDEX plans_by_merge ON plans (project)
    WHERE merge IS NOT NULL AND state IN ('PROCESSING', 'ERRORED');
