-- What happened, in order, in words.

-- from workflow, agent

-- table
CREATE TABLE timeline (
  position    INTEGER PRIMARY KEY,
  time        TEXT NOT NULL,
  type        TEXT NOT NULL,
  workflow_id TEXT,
  agent_id    TEXT,
  text        TEXT NOT NULL
);
CREATE INDEX timeline_by_workflow ON timeline (workflow_id, position);
CREATE INDEX timeline_by_agent ON timeline (agent_id, position);

-- on *
INSERT INTO timeline (position, time, type, workflow_id, agent_id, text)
VALUES (:position, :time, :type, :data.workflow_id, :data.agent_id,
  CASE :type
    WHEN 'WorkflowCreated' THEN 'asked: ' || :data.question
    WHEN 'WorkflowPlanned' THEN 'planned in ' || json_array_length(:data.steps) || ' steps'
    WHEN 'WorkflowStarted' THEN 'started'
    WHEN 'StepAssigned' THEN 'gave "' || :data.title || '" to ' || :data.agent_id || iif(:data.attempt > 1, ', try ' || :data.attempt, '')
    WHEN 'StepCompleted' THEN :data.agent_id || ' completed "' || :data.title || '" with ' || json_array_length(:data.findings) || ' findings'
    WHEN 'StepFailed' THEN :data.agent_id || ' gave "' || :data.title || '" back: ' || :data.reason
    WHEN 'WorkflowPaused' THEN 'paused: ' || :data.reason
    WHEN 'WorkflowResumed' THEN 'resumed'
    WHEN 'WorkflowCompleted' THEN 'answered: ' || :data.conclusion
    WHEN 'WorkflowCancelled' THEN 'cancelled: ' || :data.reason
    WHEN 'AgentCreated' THEN :data.name || ' joined'
    WHEN 'AgentConfigured' THEN 'set to ' || :data.model || ', ' || :data.capacity || ' tasks at a time'
    WHEN 'AgentStarted' THEN 'started'
    WHEN 'AgentStopped' THEN 'stopped'
    WHEN 'TaskAssigned' THEN 'took task ' || :data.task_id
    WHEN 'TaskCompleted' THEN 'did task ' || :data.task_id
    WHEN 'TaskFailed' THEN 'could not do task ' || :data.task_id || ': ' || :data.reason
    ELSE :type
  END);
