-- The application board: a row an application, with its state, its amount and its last change.
-- from case

-- table
CREATE TABLE application (
    id TEXT PRIMARY KEY,
    amount INTEGER NOT NULL,
    state TEXT NOT NULL,       -- the last A_… event, without A_, in small letters
    submitted TEXT NOT NULL,   -- times are the bank's, not those of the import
    changed TEXT NOT NULL,     -- of the state
    decided TEXT,              -- declined, cancelled or approved: whichever came first
    outcome TEXT,
    offers INTEGER NOT NULL DEFAULT 0,
    last_event TEXT NOT NULL,
    events INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX application_state ON application (state, changed);
CREATE INDEX application_submitted ON application (submitted);

-- on A_SUBMITTED
INSERT INTO application (id, amount, state, submitted, changed, last_event)
VALUES (:stream_id, CAST(:meta.trace.AMOUNT_REQ AS INTEGER), 'submitted', :meta.occurred_at, :meta.occurred_at, :meta.occurred_at);

-- on A_PARTLYSUBMITTED, A_PREACCEPTED, A_ACCEPTED, A_FINALIZED, A_DECLINED, A_CANCELLED, A_APPROVED, A_REGISTERED, A_ACTIVATED
UPDATE application SET state = lower(substr(:type, 3)), changed = :meta.occurred_at WHERE id = :stream_id;

-- on A_DECLINED, A_CANCELLED, A_APPROVED
UPDATE application SET decided = :meta.occurred_at, outcome = lower(substr(:type, 3))
WHERE id = :stream_id AND decided IS NULL;

-- on O_SENT
UPDATE application SET offers = offers + 1 WHERE id = :stream_id;

-- on *
UPDATE application SET events = events + 1, last_event = :meta.occurred_at WHERE id = :stream_id;
