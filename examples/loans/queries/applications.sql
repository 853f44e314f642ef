-- Applications, narrowed and sorted as you like: ?state=accepted&amount.ge=20000&sort=-amount
-- filter state, amount, outcome, submitted, changed
-- sort changed desc, amount, submitted, id
-- key id
-- limit 50 max 1000
SELECT id, state, amount, submitted, changed, decided, outcome, offers, events
FROM application
