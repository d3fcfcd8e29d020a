CREATE TABLE r_order_history (
    tenant_id        bigint      NOT NULL,
    order_id         bigint      NOT NULL,
    status           text        NOT NULL,
    placed_at        timestamptz NOT NULL,
    event_count      bigint      NOT NULL,
    reprint_count    bigint      NOT NULL,
    last_kind        text,
    last_happened_at timestamptz NOT NULL,
    CONSTRAINT r_order_history_pkey PRIMARY KEY (tenant_id, order_id)
);

COMMENT ON TABLE r_order_history IS 'What happened to each order, and what happened last, ready to show';
COMMENT ON COLUMN r_order_history.tenant_id IS 'The shop';
COMMENT ON COLUMN r_order_history.last_kind IS 'The last event; empty where nothing happened since the order was placed';
COMMENT ON COLUMN r_order_history.last_happened_at IS 'When that was, or when the order was placed';

-- The same policy that 03_common/050 creates for the earlier tables.
ALTER TABLE r_order_history ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON r_order_history
    USING (tenant_id = (SELECT current_tenant()));
