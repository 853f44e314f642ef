-- Every account.
-- sort id
-- sort balance desc, id
-- filter balance, name
-- key id
-- limit 50 max 1000
SELECT id, balance, movements, name FROM account
