-- table
CREATE TABLE t(a);
-- on TaskMade
INSERT INTO t VALUES (:time), (:time_us), (:meta.actor), (:tags), (:id);