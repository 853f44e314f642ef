-- One account.
-- param id text
-- one
SELECT id, balance, movements, changed, name FROM account WHERE id = :id
