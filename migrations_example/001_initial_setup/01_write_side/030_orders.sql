CREATE TABLE w_orders (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id    bigint         NOT NULL,
    customer_id  bigint         NOT NULL,
    product      text           NOT NULL,
    quantity     bigint         NOT NULL,
    amount       numeric(12, 2) NOT NULL,
    status       text           NOT NULL DEFAULT 'placed',
    placed_at    timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT w_orders_pkey PRIMARY KEY (id),
    CONSTRAINT w_orders_tenant_id_id_key UNIQUE (tenant_id, id),
    CONSTRAINT w_orders_quantity_check CHECK (quantity > 0),
    CONSTRAINT w_orders_amount_check CHECK (amount >= 0),
    CONSTRAINT w_orders_status_check
        CHECK (status IN ('placed', 'in_production', 'shipped', 'delivered', 'cancelled'))
);

COMMENT ON TABLE w_orders IS 'Print jobs that a customer ordered';
COMMENT ON COLUMN w_orders.tenant_id IS 'The shop that prints';
COMMENT ON COLUMN w_orders.quantity IS 'Packs, not sheets';
COMMENT ON COLUMN w_orders.amount IS 'What the customer owes, in euros, taxes included';
COMMENT ON COLUMN w_orders.status IS 'How far the job is; r_static_order_statuses has the labels';
