-- from account, owner
-- table
CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL, movements INTEGER NOT NULL, changed TEXT NOT NULL, name TEXT);
CREATE TABLE movement (position INTEGER PRIMARY KEY, account TEXT NOT NULL, type TEXT NOT NULL, amount INTEGER NOT NULL);
CREATE INDEX movement_account ON movement (account, position);
-- on Opened
INSERT INTO account (id, balance, movements, changed) VALUES (:stream_id, 0, 0, :time);
-- on Deposited, Withdrawn
UPDATE account SET balance = :data.balance, movements = movements + 1, changed = :time WHERE id = :stream_id;
INSERT INTO movement (position, account, type, amount) VALUES (:position, :stream_id, :type, :data.amount);
-- on NameClaimed
UPDATE account SET name = :data.name WHERE id = :data.account;
