-- CONCURRENTLY: the shops can order while it is built. It cannot run in a
-- transaction, so it has a separate file and step. It has a name, so that a failed
-- build can be found and repeated.
CREATE INDEX CONCURRENTLY w_orders_placed_at_idx ON w_orders (tenant_id, placed_at);
