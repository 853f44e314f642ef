-- from "the case", task
-- tagged "a, ""b"""
-- table
CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER);
-- on "TaskMade", "W_Make tea", *
INSERT INTO t VALUES (:data."org:resource", :data."a"."b"[1]."c") ON CONFLICT (id) DO UPDATE SET n = :tag."customer" || :meta."x ""y""";
