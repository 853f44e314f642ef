-- One item by its key.
-- param id text
-- one
SELECT id, notes, changed, text FROM item WHERE id = :id
