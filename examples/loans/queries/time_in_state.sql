-- How long applications stay in each state, of those that have left it.
-- key state
-- sort state
SELECT state, count(*) AS times, sum(ms) AS total_ms, round(avg(ms) / 3600000.0, 2) AS hours_on_average,
       round(max(ms) / 3600000.0, 2) AS hours_at_most
FROM state_time
WHERE until IS NOT NULL
GROUP BY state
