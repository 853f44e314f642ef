-- from order

-- table
CREATE TABLE customer (name TEXT NOT NULL, email TEXT NOT NULL, orders INTEGER NOT NULL, PRIMARY KEY (name));

-- on OrderPlaced
INSERT INTO customer (name, email, orders) VALUES (:data.customer.name, :data.customer.email, 1)
ON CONFLICT (name) DO UPDATE SET orders = orders + 1;
