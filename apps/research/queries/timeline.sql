-- What happened, newest first: in everything, in one workflow, or to one agent.
--
-- param workflow_id text ?
-- param agent_id text ?
-- filter type, time
-- sort position desc
-- key position
-- limit 100 max 1000
SELECT position, time, type, workflow_id, agent_id, text
FROM timeline
WHERE (:workflow_id IS NULL OR workflow_id = :workflow_id)
  AND (:agent_id IS NULL OR agent_id = :agent_id)
