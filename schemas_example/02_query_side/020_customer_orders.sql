CREATE TABLE r_customer_orders (
    tenant_id        bigint         NOT NULL,
    order_id         bigint         NOT NULL,
    customer_id      bigint         NOT NULL,
    customer_name    text           NOT NULL,
    product          text           NOT NULL,
    quantity         bigint         NOT NULL,
    status           text           NOT NULL,
    amount           numeric(12, 2) NOT NULL,
    paid_amount      numeric(12, 2) NOT NULL,
    refunded_amount  numeric(12, 2) NOT NULL,
    placed_at        timestamptz    NOT NULL,
    reprint_count    bigint         NOT NULL DEFAULT 0,
    CONSTRAINT r_customer_orders_pkey PRIMARY KEY (tenant_id, order_id)
);

COMMENT ON TABLE r_customer_orders IS 'The list of a customer''s orders, ready to show';
COMMENT ON COLUMN r_customer_orders.tenant_id IS 'The shop';
COMMENT ON COLUMN r_customer_orders.customer_name IS 'Copied, so that the list needs no join';
COMMENT ON COLUMN r_customer_orders.paid_amount IS 'Sum of the payments, before refunds';
COMMENT ON COLUMN r_customer_orders.refunded_amount IS 'Sum of what was paid back';
COMMENT ON COLUMN r_customer_orders.reprint_count IS 'How often the job had to be printed again';
