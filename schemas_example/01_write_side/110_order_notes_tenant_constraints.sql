-- NOT VALID: from now on every new or changed row is checked; the old rows are
-- not read while the lock is held. 120 does that under a lock that lets writes pass.
ALTER TABLE w_order_notes
    ADD CONSTRAINT w_order_notes_tenant_id_check CHECK (tenant_id IS NOT NULL) NOT VALID;
ALTER TABLE w_order_notes
    ADD CONSTRAINT w_order_notes_order_id_fkey
        FOREIGN KEY (tenant_id, order_id) REFERENCES w_orders (tenant_id, id) NOT VALID;
