-- One order.
--
-- param order_id text
-- one
SELECT order_id, customer, status, total_cents, items, placed_at, closed_at, note
FROM orders
WHERE order_id = :order_id
