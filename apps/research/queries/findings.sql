-- Findings as they came in.
--
-- filter workflow_id, step_id, agent_id, confidence
-- sort number
-- sort confidence, found_at
-- key number
SELECT number, workflow_id, step_id, agent_id, title, text, source, confidence, found_at
FROM finding
