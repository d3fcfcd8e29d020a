-- These two scan the whole table, but allow reads and writes meanwhile.
ALTER TABLE w_order_notes VALIDATE CONSTRAINT w_order_notes_tenant_id_check;
ALTER TABLE w_order_notes VALIDATE CONSTRAINT w_order_notes_order_id_fkey;

-- The validated check proves it, so this reads nothing and the strong lock is
-- short. After that, NOT NULL makes the check redundant.
ALTER TABLE w_order_notes ALTER COLUMN tenant_id SET NOT NULL;
ALTER TABLE w_order_notes DROP CONSTRAINT w_order_notes_tenant_id_check;
