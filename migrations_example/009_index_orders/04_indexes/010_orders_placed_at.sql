-- CONCURRENTLY lets customers place orders during the build. The statement cannot
-- run in a transaction, so it has a separate file and step. The index has an
-- explicit name, so a failed build can be found and repeated.
CREATE INDEX CONCURRENTLY w_orders_placed_at_idx ON w_orders (tenant_id, placed_at);
