-- CONCURRENTLY: the shops go on ordering while it is built. It cannot run in a
-- transaction, so it has a file, and a step, of its own; and it has a name, so
-- that a build that broke off can be found and repeated.
CREATE INDEX CONCURRENTLY w_orders_placed_at_idx ON w_orders (tenant_id, placed_at);
