-- The board: how many applications are in each state, and what they are worth.
-- key state
-- sort state
SELECT state, count(*) AS applications, sum(amount) AS amount, min(changed) AS oldest_change, max(changed) AS newest_change
FROM application
GROUP BY state
