-- Read models have no foreign keys to the write side, because a read model can be
-- emptied and refilled at any time. Creating a foreign key would also block writes
-- to w_customers until the migration that fills this table commits.
CREATE TABLE r_customer_lifetime_value (
    id              uuid           NOT NULL DEFAULT gen_random_uuid(),
    tenant_id       bigint         NOT NULL,
    customer_id     bigint         NOT NULL,
    total_spent     numeric(14, 2) NOT NULL,
    order_count     bigint         NOT NULL,
    first_order_at  timestamptz,
    last_order_at   timestamptz,
    tier            text           NOT NULL DEFAULT 'bronze',
    CONSTRAINT r_customer_lifetime_value_pkey PRIMARY KEY (id),
    -- One row per customer; the account page finds the row by this key.
    CONSTRAINT r_customer_lifetime_value_customer_key UNIQUE (tenant_id, customer_id)
);

COMMENT ON TABLE r_customer_lifetime_value IS 'What a customer has spent, one row each, also for customers without orders';
COMMENT ON COLUMN r_customer_lifetime_value.tenant_id IS 'The shop';
COMMENT ON COLUMN r_customer_lifetime_value.total_spent IS 'Sum of all orders that were not cancelled';
COMMENT ON COLUMN r_customer_lifetime_value.order_count IS 'How many orders that is';
COMMENT ON COLUMN r_customer_lifetime_value.tier IS 'gold, silver or bronze: where the largest jumps in spending are, shop by shop';
