-- Findings, and a full-text index over them.

-- from workflow

-- table
CREATE TABLE finding (
  number      INTEGER PRIMARY KEY,
  position    INTEGER NOT NULL, -- of the event that brought it
  workflow_id TEXT NOT NULL,
  step_id     TEXT NOT NULL,
  agent_id    TEXT NOT NULL,
  finding_id  TEXT NOT NULL,
  title       TEXT NOT NULL,
  text        TEXT NOT NULL,
  source      TEXT,
  confidence  REAL,
  found_at    TEXT NOT NULL
);
CREATE INDEX finding_by_workflow ON finding (workflow_id, number);
CREATE INDEX finding_by_position ON finding (position);

CREATE VIRTUAL TABLE finding_text USING fts5 (title, text, content = 'finding', content_rowid = 'number', tokenize = 'porter unicode61');

-- on StepCompleted
INSERT INTO finding (position, workflow_id, step_id, agent_id, finding_id, title, text, source, confidence, found_at)
SELECT :position, :data.workflow_id, :data.step_id, :data.agent_id, value ->> 'finding_id', value ->> 'title', value ->> 'text',
  value ->> 'source', value ->> 'confidence', :time
FROM json_each(:data.findings);
INSERT INTO finding_text (rowid, title, text) SELECT number, title, text FROM finding WHERE position = :position;
