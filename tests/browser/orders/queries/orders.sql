-- Every order with its status and total.
--
-- param status text?
-- filter customer, total
-- sort order_id
-- sort customer, total
-- key order_id
-- limit 10 max 1000
SELECT order_id, customer, status, lines, total, placed_at FROM orders WHERE :status IS NULL OR status = :status
