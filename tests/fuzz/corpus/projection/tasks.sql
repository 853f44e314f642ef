-- from task
-- tagged customer:7
-- table
CREATE TABLE task (id TEXT PRIMARY KEY, title TEXT NOT NULL, due TEXT DEFAULT CURRENT_TIMESTAMP, n INTEGER);
CREATE TRIGGER t AFTER INSERT ON task BEGIN INSERT INTO words VALUES (new.id, CASE WHEN 1 THEN 'a' ELSE 'b' END); END;
CREATE VIRTUAL TABLE words USING fts5(id UNINDEXED, text);
CREATE VIEW v AS SELECT id FROM task;
-- on TaskMade, Other
INSERT INTO task (id, title, n) VALUES (:stream_id, :data.title, :data.a.b[1].c) ON CONFLICT (id) DO UPDATE SET n = n + 1;
WITH x(y) AS (SELECT value FROM json_each(:data.a.b)) UPDATE task SET n = (SELECT count(*) FROM x) WHERE id = :tag.customer;
-- on *
DELETE FROM task WHERE n > :position AND title = ':data.x' /* "no" */;
