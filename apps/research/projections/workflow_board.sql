-- The board: every workflow and every step as they are now.

-- from workflow

-- table
CREATE TABLE workflow (
  workflow_id TEXT PRIMARY KEY,
  title       TEXT NOT NULL,
  question    TEXT NOT NULL,
  owner       TEXT,
  status      TEXT NOT NULL,
  steps       INTEGER NOT NULL DEFAULT 0,
  completed   INTEGER NOT NULL DEFAULT 0,
  failures    INTEGER NOT NULL DEFAULT 0,
  findings    INTEGER NOT NULL DEFAULT 0,
  created_at  TEXT NOT NULL,
  started_at  TEXT,
  ended_at    TEXT,
  updated_at  TEXT NOT NULL,
  note        TEXT -- why it is paused or cancelled, or the conclusion
);
CREATE INDEX workflow_by_status ON workflow (status, workflow_id);

CREATE TABLE step (
  workflow_id TEXT NOT NULL,
  step_id     TEXT NOT NULL,
  place       INTEGER NOT NULL,
  title       TEXT NOT NULL,
  status      TEXT NOT NULL,
  agent_id    TEXT,
  attempts    INTEGER NOT NULL DEFAULT 0,
  assigned_at TEXT,
  ended_at    TEXT,
  note        TEXT,
  PRIMARY KEY (workflow_id, step_id)
);

-- on WorkflowCreated
INSERT INTO workflow (workflow_id, title, question, owner, status, created_at, updated_at)
VALUES (:data.workflow_id, :data.title, :data.question, :data.owner, 'created', :time, :time);

-- on WorkflowPlanned
DELETE FROM step WHERE workflow_id = :data.workflow_id;
INSERT INTO step (workflow_id, step_id, place, title, status)
SELECT :data.workflow_id, value ->> 'step_id', key + 1, value ->> 'title', 'open' FROM json_each(:data.steps);
UPDATE workflow SET status = 'planned', steps = json_array_length(:data.steps), updated_at = :time
WHERE workflow_id = :data.workflow_id;

-- on WorkflowStarted
UPDATE workflow SET status = 'running', started_at = :time, updated_at = :time WHERE workflow_id = :data.workflow_id;

-- on StepAssigned
UPDATE step SET status = 'assigned', agent_id = :data.agent_id, attempts = :data.attempt, assigned_at = :time, ended_at = NULL, note = NULL
WHERE workflow_id = :data.workflow_id AND step_id = :data.step_id;
UPDATE workflow SET updated_at = :time WHERE workflow_id = :data.workflow_id;

-- on StepCompleted
UPDATE step SET status = 'completed', ended_at = :time
WHERE workflow_id = :data.workflow_id AND step_id = :data.step_id;
UPDATE workflow SET completed = completed + 1, findings = findings + json_array_length(:data.findings), updated_at = :time
WHERE workflow_id = :data.workflow_id;

-- on StepFailed
UPDATE step SET status = 'failed', ended_at = :time, note = :data.reason
WHERE workflow_id = :data.workflow_id AND step_id = :data.step_id;
UPDATE workflow SET failures = failures + 1, updated_at = :time WHERE workflow_id = :data.workflow_id;

-- on WorkflowPaused
UPDATE workflow SET status = 'paused', note = :data.reason, updated_at = :time WHERE workflow_id = :data.workflow_id;

-- on WorkflowResumed
UPDATE workflow SET status = 'running', note = NULL, updated_at = :time WHERE workflow_id = :data.workflow_id;

-- on WorkflowCompleted
UPDATE workflow SET status = 'completed', note = :data.conclusion, ended_at = :time, updated_at = :time
WHERE workflow_id = :data.workflow_id;

-- on WorkflowCancelled
UPDATE workflow SET status = 'cancelled', note = :data.reason, ended_at = :time, updated_at = :time
WHERE workflow_id = :data.workflow_id;
