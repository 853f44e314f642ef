-- Time in each state: from one A_… event of an application to its next.
-- from case

-- table
CREATE TABLE state_time (
    application TEXT NOT NULL,
    entered INTEGER NOT NULL,  -- revision: the order, also of events of one moment
    state TEXT NOT NULL,
    since TEXT NOT NULL,
    until TEXT,                -- NULL: it is there now
    ms INTEGER,
    PRIMARY KEY (application, entered)
) WITHOUT ROWID;
CREATE INDEX state_time_open ON state_time (application) WHERE until IS NULL;
CREATE INDEX state_time_state ON state_time (state);

-- on A_SUBMITTED, A_PARTLYSUBMITTED, A_PREACCEPTED, A_ACCEPTED, A_FINALIZED, A_DECLINED, A_CANCELLED, A_APPROVED, A_REGISTERED, A_ACTIVATED
UPDATE state_time SET until = :meta.occurred_at,
    ms = (strftime('%s', :meta.occurred_at) - strftime('%s', since)) * 1000
       + CAST(substr(:meta.occurred_at, 21, 3) AS INTEGER) - CAST(substr(since, 21, 3) AS INTEGER)
WHERE application = :stream_id AND until IS NULL;
INSERT INTO state_time (application, entered, state, since)
VALUES (:stream_id, :revision, lower(substr(:type, 3)), :meta.occurred_at);
