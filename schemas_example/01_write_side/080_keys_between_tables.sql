-- Every key includes the tenant, so a row cannot reference another tenant's
-- customer or order.
--
-- PostgreSQL does not create an index on the referencing side of a foreign key.
-- Without an index, deleting an order would scan all payments.

-- This foreign key needs no index: UNIQUE (tenant_id, id) already has one.
ALTER TABLE w_customers
    ADD CONSTRAINT w_customers_tenant_id_fkey
        FOREIGN KEY (tenant_id) REFERENCES w_tenants (tenant_id);

CREATE INDEX w_orders_customer_id_idx ON w_orders (tenant_id, customer_id);
ALTER TABLE w_orders
    ADD CONSTRAINT w_orders_customer_id_fkey
        FOREIGN KEY (tenant_id, customer_id) REFERENCES w_customers (tenant_id, id);

CREATE INDEX w_payments_order_id_idx ON w_payments (tenant_id, order_id);
ALTER TABLE w_payments
    ADD CONSTRAINT w_payments_order_id_fkey
        FOREIGN KEY (tenant_id, order_id) REFERENCES w_orders (tenant_id, id);

CREATE INDEX w_shipments_order_id_idx ON w_shipments (tenant_id, order_id);
ALTER TABLE w_shipments
    ADD CONSTRAINT w_shipments_order_id_fkey
        FOREIGN KEY (tenant_id, order_id) REFERENCES w_orders (tenant_id, id);

CREATE INDEX w_order_events_order_id_idx ON w_order_events (tenant_id, order_id);
ALTER TABLE w_order_events
    ADD CONSTRAINT w_order_events_order_id_fkey
        FOREIGN KEY (tenant_id, order_id) REFERENCES w_orders (tenant_id, id);

-- The index of this foreign key is in 04_indexes/020_order_notes_order.sql.
ALTER TABLE w_order_notes
    ADD CONSTRAINT w_order_notes_order_id_fkey
        FOREIGN KEY (tenant_id, order_id) REFERENCES w_orders (tenant_id, id);
