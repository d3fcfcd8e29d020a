-- A constant default is stored in the catalog: no row is rewritten.
ALTER TABLE r_customer_orders ADD COLUMN reprint_count bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN r_customer_orders.reprint_count IS 'How often the job had to be printed again';
