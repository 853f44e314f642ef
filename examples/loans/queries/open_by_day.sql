-- How many applications came in, were decided, and were open at the end of each day of a period (UTC).
-- param first text
-- param last text
-- key day
-- sort day
-- limit 400 max 1000
WITH RECURSIVE days (day) AS (
    SELECT date(:first)
    UNION ALL
    SELECT date(day, '+1 day') FROM days WHERE day < date(:last)
),
came AS (SELECT substr(submitted, 1, 10) AS day, count(*) AS n FROM application GROUP BY 1),
went AS (SELECT substr(decided, 1, 10) AS day, count(*) AS n FROM application WHERE decided IS NOT NULL GROUP BY 1)
SELECT days.day,
       coalesce((SELECT n FROM came WHERE came.day = days.day), 0) AS submitted,
       coalesce((SELECT n FROM went WHERE went.day = days.day), 0) AS decided,
       coalesce((SELECT sum(n) FROM came WHERE came.day <= days.day), 0)
     - coalesce((SELECT sum(n) FROM went WHERE went.day <= days.day), 0) AS open
FROM days
