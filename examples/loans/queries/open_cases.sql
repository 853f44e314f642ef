-- The applications that were open at the end of a day (UTC), with the state that they were in then.
-- param day text
-- filter state, amount
-- sort id, amount, submitted
-- key id
-- limit 50 max 1000
SELECT a.id, s.state, a.amount, a.submitted
FROM application AS a
JOIN state_time AS s ON s.application = a.id
WHERE a.submitted < date(:day, '+1 day')
  AND (a.decided IS NULL OR a.decided >= date(:day, '+1 day'))
  AND s.since < date(:day, '+1 day')
  AND (s.until IS NULL OR s.until >= date(:day, '+1 day'))
