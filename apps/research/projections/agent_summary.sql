-- Agents, what they are set to and what they have done.

-- from agent, workflow

-- table
CREATE TABLE agent (
  agent_id    TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  skills      TEXT NOT NULL,
  status      TEXT NOT NULL,
  model       TEXT,
  capacity    INTEGER,
  open_tasks  INTEGER NOT NULL DEFAULT 0,
  completed   INTEGER NOT NULL DEFAULT 0,
  failed      INTEGER NOT NULL DEFAULT 0,
  findings    INTEGER NOT NULL DEFAULT 0,
  last_active TEXT NOT NULL
);

-- on AgentCreated
INSERT INTO agent (agent_id, name, skills, status, last_active)
VALUES (:data.agent_id, :data.name, coalesce(:data.skills, '[]'), 'created', :time);

-- on AgentConfigured
UPDATE agent SET model = :data.model, capacity = :data.capacity, last_active = :time,
  status = CASE status WHEN 'created' THEN 'configured' ELSE status END
WHERE agent_id = :data.agent_id;

-- on AgentStarted
UPDATE agent SET status = 'running', last_active = :time WHERE agent_id = :data.agent_id;

-- on AgentStopped
UPDATE agent SET status = 'stopped', last_active = :time WHERE agent_id = :data.agent_id;

-- on TaskAssigned
UPDATE agent SET open_tasks = open_tasks + 1, last_active = :time WHERE agent_id = :data.agent_id;

-- on TaskCompleted
UPDATE agent SET open_tasks = open_tasks - 1, completed = completed + 1, last_active = :time WHERE agent_id = :data.agent_id;

-- on TaskFailed
UPDATE agent SET open_tasks = open_tasks - 1, failed = failed + 1, last_active = :time WHERE agent_id = :data.agent_id;

-- on StepCompleted
UPDATE agent SET findings = findings + json_array_length(:data.findings) WHERE agent_id = :data.agent_id;
