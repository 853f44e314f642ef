-- What moved on an account.
-- param account text
-- sort position
-- key position
-- limit 100 max 1000
SELECT position, type, amount FROM movement WHERE account = :account
