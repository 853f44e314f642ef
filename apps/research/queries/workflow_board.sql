-- The workflow board: what is asked, how far it is.
--
-- filter status, owner, title, failures, updated_at
-- sort updated_at desc, workflow_id
-- sort title, created_at, completed, findings, failures
-- key workflow_id
-- limit 50 max 500
SELECT workflow_id, title, owner, status, steps, completed, failures, findings, created_at, started_at, ended_at, updated_at, note
FROM workflow
