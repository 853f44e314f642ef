-- How one application went from state to state.
-- param id text
-- key entered
-- sort entered
SELECT entered, state, since, until, round(ms / 3600000.0, 2) AS hours
FROM state_time
WHERE application = :id
