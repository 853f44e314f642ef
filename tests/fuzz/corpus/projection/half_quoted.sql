-- table
CREATE TABLE t (id TEXT);
-- on "TaskMade
DELETE FROM t WHERE id = :data."a:b;
