-- Every order as it is now, a row each.

-- from order

-- table
CREATE TABLE orders (
  order_id    TEXT PRIMARY KEY,
  customer    TEXT NOT NULL,
  status      TEXT NOT NULL,
  total_cents INTEGER NOT NULL,
  items       INTEGER NOT NULL,
  placed_at   TEXT NOT NULL,
  closed_at   TEXT,
  note        TEXT
);
CREATE INDEX orders_by_status ON orders (status, order_id);

-- on OrderPlaced
INSERT INTO orders (order_id, customer, status, total_cents, items, placed_at)
VALUES (:data.order_id, :data.customer, 'open', :data.total_cents, json_array_length(:data.items), :time);

-- on OrderPaid
UPDATE orders SET status = 'paid', closed_at = :time, note = :data.method WHERE order_id = :data.order_id;

-- on OrderCancelled
UPDATE orders SET status = 'cancelled', closed_at = :time, note = :data.reason WHERE order_id = :data.order_id;
