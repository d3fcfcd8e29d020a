-- The page lists a customer's orders, newest first. Not CONCURRENTLY: the table
-- is created in the same migration, so no other session can see it yet.
CREATE INDEX r_customer_orders_customer_idx
    ON r_customer_orders (tenant_id, customer_id, placed_at DESC);
