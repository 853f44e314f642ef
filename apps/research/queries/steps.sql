-- The steps of a workflow, in the order of its plan.
--
-- param workflow_id text
-- filter status, agent_id
-- sort place
-- key place
SELECT place, step_id, title, status, agent_id, attempts, assigned_at, ended_at, note
FROM step
WHERE workflow_id = :workflow_id
