-- One workflow.
--
-- param workflow_id text
-- one
SELECT workflow_id, title, question, owner, status, steps, completed, failures, findings, created_at, started_at, ended_at, note
FROM workflow
WHERE workflow_id = :workflow_id
