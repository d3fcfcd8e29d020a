-- With NOT VALID, PostgreSQL only checks new and changed rows, so it does not scan
-- the table while holding the lock. 120 checks the old rows under a lock that
-- allows writes.
ALTER TABLE w_order_notes
    ADD CONSTRAINT w_order_notes_tenant_id_check CHECK (tenant_id IS NOT NULL) NOT VALID;
ALTER TABLE w_order_notes
    ADD CONSTRAINT w_order_notes_order_id_fkey
        FOREIGN KEY (tenant_id, order_id) REFERENCES w_orders (tenant_id, id) NOT VALID;
