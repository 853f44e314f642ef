-- One application.
-- param id text
-- one
SELECT id, state, amount, submitted, changed, decided, outcome, offers, last_event, events
FROM application
WHERE id = :id
