-- from order

-- table
CREATE TABLE orders (order_id TEXT PRIMARY KEY, customer TEXT NOT NULL, status TEXT NOT NULL, lines INTEGER NOT NULL,
  total REAL NOT NULL, placed_at TEXT NOT NULL);

-- on OrderPlaced
INSERT INTO orders (order_id, customer, status, lines, total, placed_at)
VALUES (:data.order_id, :data.customer.name, 'placed', json_array_length(:data.lines), :data.total, :time);

-- on OrderShipped
UPDATE orders SET status = 'shipped' WHERE order_id = :data.order_id;

-- on OrderCancelled
UPDATE orders SET status = 'cancelled' WHERE order_id = :data.order_id;
