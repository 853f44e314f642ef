-- Orders in a status, open ones by default.
--
-- param status text = 'open'
-- filter customer, total_cents
-- sort order_id
-- sort total_cents
-- key order_id
-- limit 20 max 500
SELECT order_id, customer, status, total_cents, items, placed_at
FROM orders
WHERE status = :status
