-- Nullable and without a default: no rewrite, no scan, a short lock.
ALTER TABLE w_order_notes ADD COLUMN tenant_id bigint;

COMMENT ON COLUMN w_order_notes.tenant_id IS 'The shop of the order that the note is about';
