-- Agents and what they have done.
--
-- filter status, model
-- json skills
-- sort completed desc, agent_id
-- sort name, findings, failed, open_tasks, last_active
-- key agent_id
SELECT agent_id, name, status, model, capacity, open_tasks, completed, failed, findings, skills, last_active
FROM agent
