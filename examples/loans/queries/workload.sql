-- What each employee has done: pieces of work, applications, hours, days on which they were seen.
-- filter resource
-- sort work desc, hours, resource
-- key resource
-- limit 100 max 1000
SELECT w.resource, count(*) AS work, count(DISTINCT w.application) AS applications, sum(w.ms) AS total_ms,
       round(sum(w.ms) / 3600000.0, 1) AS hours,
       (SELECT count(*) FROM resource_day AS d WHERE d.resource = w.resource) AS days
FROM work AS w
WHERE w.completed IS NOT NULL AND w.resource IS NOT NULL
GROUP BY w.resource
