-- Finds a shop's orders by date.
CREATE INDEX w_orders_placed_at_idx ON w_orders (tenant_id, placed_at);
