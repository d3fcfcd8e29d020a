-- A constant default is stored in the catalog: no row is rewritten.
ALTER TABLE r_customer_lifetime_value ADD COLUMN tier text NOT NULL DEFAULT 'bronze';

COMMENT ON COLUMN r_customer_lifetime_value.tier IS 'gold, silver or bronze: where the largest jumps in spending are, shop by shop';
