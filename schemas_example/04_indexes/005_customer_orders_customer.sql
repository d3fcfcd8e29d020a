-- The order page lists a customer's orders, newest first.
CREATE INDEX r_customer_orders_customer_idx
    ON r_customer_orders (tenant_id, customer_id, placed_at DESC);
