-- from item
-- table
CREATE TABLE item (id TEXT PRIMARY KEY, notes INTEGER NOT NULL, changed TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
-- on ItemNoted
INSERT INTO item (id, notes, changed, text) VALUES (:stream_id, 1, :time, :data.text)
ON CONFLICT (id) DO UPDATE SET notes = notes + 1, changed = excluded.changed, text = excluded.text;
