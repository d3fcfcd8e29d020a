-- The order page lists a customer's orders, newest first. CONCURRENTLY is not
-- needed, because the same migration creates the table and no other session can
-- see the table yet.
CREATE INDEX r_customer_orders_customer_idx
    ON r_customer_orders (tenant_id, customer_id, placed_at DESC);
