-- One order.
--
-- param order_id text
-- one
SELECT order_id, customer, status, lines, total, placed_at FROM orders WHERE order_id = :order_id
